"""An ensemble as one model: the mean of the models' probabilities, for search and scores."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.nn.branch import State
from lm.types import Features, Shape, Tensor


class Side(NamedTuple):
    """One side of the models: how many positions all of them have."""

    max_sequence_length: int | None


class TokenEnsemble(keras.Model):
    """`log (1/N Σ_i p_i(token))` as logits, p_i = softmax of the logits of model i, [B, T, V].

    Search treats it as one model whose state holds the states of all. Scores of these logits are
    those of the mean probability, since `softmax(log p) = p`.

    Args:
        models: built, of one vocabulary and the same sides.

    Source: Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215), section 3.6.
    """

    def __init__(self, models: Sequence[Any], *, name: str = "ensemble") -> None:
        super().__init__(name=name, autocast=False)
        self.models = list(models)
        self.sides = self.models[0].sides
        self.vocabulary_size = self.models[0].vocabulary_size
        for side in self.sides:
            stacks = [getattr(model, side) for model in self.models]
            limits = [getattr(stack, "max_sequence_length", None) for stack in stacks]
            found = min((limit for limit in limits if limit is not None), default=None)
            setattr(self, side, Side(found))

    def build(self, features_shape: Shape) -> None:
        """Has no variables besides the models' own."""
        del features_shape

    def call(self, features: Features, carry: State = None) -> Any:
        """Returns the logits, and the new carries if carries were given."""
        if carry is None:
            return averaged([model(features) for model in self.models])
        pairs = [model(features, carry=own) for model, own in zip(self.models, carry, strict=True)]
        return averaged([outputs for outputs, _ in pairs]), tuple(after for _, after in pairs)

    def initial_carry(self, batch: int) -> State:
        """Returns the carries of all models; `()` if none has one."""
        carries = tuple(model.initial_carry(batch) for model in self.models)
        return carries if keras.tree.flatten(carries) else ()

    def start(self, features: Features, length: int) -> tuple[Tensor, tuple[State, ...]]:
        """Reads the prompts; see the models' own `start`."""
        found = [model.start(features, length) for model in self.models]
        return found[0][0], tuple(state for _, state in found)

    def step(self, tokens: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """Returns the logits [B, V] after one more token per row, and the states after."""
        found = [model.step(tokens, own) for model, own in zip(self.models, state, strict=True)]
        return averaged([logits for logits, _ in found]), tuple(after for _, after in found)

    def read(self, tokens: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """Returns the logits [B, T, V] after each of several tokens [B, T], and the states."""
        found = [model.read(tokens, own) for model, own in zip(self.models, state, strict=True)]
        return averaged([logits for logits, _ in found]), tuple(after for _, after in found)


def averaged(logits: Sequence[Tensor]) -> Tensor:
    """Returns the logarithm of the mean probability, float32 [..., V].

    >>> log_p = averaged([ops.log(ops.array([0.5, 0.5])), ops.log(ops.array([0.1, 0.9]))])
    >>> print(np.asarray(ops.exp(log_p)).round(6))
    [0.3 0.7]
    """
    log_p = ops.stack([ops.log_softmax(ops.cast(x, "float32"), axis=-1) for x in logits])
    return ops.logsumexp(log_p, axis=0) - ops.log(float(len(logits)))
