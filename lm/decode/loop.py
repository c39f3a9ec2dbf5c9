"""One token at a time, in one compiled loop: greedy search and sampling.

Search sees a model as two functions:

    start(features, length) -> (tokens [B], state)    reads the prompts
    step(tokens [B], state) -> (logits [B, V], state) one token further

A state is a tree of tensors that lead with the batch axis. R = B · N are the rows when N texts are
made for each of B prompts (`lm.decode.rows`); M is the number of new tokens at most.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from keras import ops

from lm.decode.choose import Picker
from lm.decode.noise import row_keys
from lm.decode.rank import best_first
from lm.decode.rows import repeat


class Decoded(NamedTuple):
    """Texts for each prompt, the best first.

    Attributes:
        tokens: int32 [B, N, M], 0 after the end.
        lengths: int32 [B, N], number of tokens, the end token included.
        log_probs: float32 [B, N], Σ log p(token) under the model as it is (temperature 1).
        scores: float32 [B, N], what the texts are ordered by.
    """

    tokens: Any
    lengths: Any
    log_probs: Any
    scores: Any


class Progress(NamedTuple):
    """What the loop carries; R rows.

    Attributes:
        count: int32 scalar, tokens made so far.
        token: int32 [R], the token to feed next.
        keys: int32 [R, 2], each row's source of noise.
        tokens: int32 [R, M].
        lengths: int32 [R].
        log_probs: float32 [R].
        is_ended: bool [R].
        state: of the model.
    """

    count: Any
    token: Any
    keys: Any
    tokens: Any
    lengths: Any
    log_probs: Any
    is_ended: Any
    state: Any


class Sampling:
    """Chooses tokens one after the other until every row has ended or has M of them.

    Args:
        pick: picker: `choose.greedy`, or one made by `choose.drawn_from`.
        max_new_tokens: M.
        eos_id: token that ends a text; -1 if none does.
        num_samples: texts N for each prompt, ranked by their probability under the model.
    """

    def __init__(
        self, *, pick: Picker, max_new_tokens: int, eos_id: int, num_samples: int = 1
    ) -> None:
        self.pick = pick
        self.max_new_tokens = max_new_tokens
        self.eos_id = eos_id
        self.num_samples = num_samples

    def __call__(self, model: Any, inputs: Mapping[str, Any]) -> Decoded:
        """Returns N texts for each of B prompts; arguments as for `begin`."""
        return self.finish(self.advance(model, self.begin(model, inputs), self.max_new_tokens))

    def begin(self, model: Any, inputs: Mapping[str, Any]) -> Progress:
        """Reads the prompts.

        Args:
            model: has `start` and `step`.
            inputs: the model's features; `rows`, int32 [B], the number of each example in the
                whole input; and `seed`, int32 scalar.
        """
        token, state = model.start(inputs, capacity(inputs, self.max_new_tokens))
        token, state = repeat((token, state), self.num_samples)
        rows = token.shape[0]
        return Progress(
            count=ops.zeros((), "int32"),
            token=token,
            keys=row_keys(inputs["seed"], inputs["rows"], self.num_samples),
            tokens=ops.zeros((rows, self.max_new_tokens), "int32"),
            lengths=ops.zeros((rows,), "int32"),
            log_probs=ops.zeros((rows,), "float32"),
            is_ended=ops.zeros((rows,), "bool"),
            state=state,
        )

    def advance(self, model: Any, progress: Progress, until: Any) -> Progress:
        """Makes tokens until there are `until` of them in every row that has not ended."""

        def goes_on(progress: Progress) -> Any:
            return ops.logical_and(
                progress.count < until, ops.logical_not(ops.all(progress.is_ended))
            )

        def next_token(progress: Progress) -> tuple[Progress]:
            logits, state = model.step(progress.token, progress.state)
            return (self.extend(progress, ops.cast(logits, "float32"), state),)

        return ops.while_loop(goes_on, next_token, (progress,))[0]

    def extend(self, progress: Progress, logits: Any, state: Any) -> Progress:
        """Returns the progress after one more token, chosen from logits [R, V]."""
        goes_on = ops.logical_not(progress.is_ended)
        token = self.pick(logits, progress.keys, progress.count) * ops.cast(goes_on, "int32")
        log_prob = log_probability(logits, token)
        return Progress(
            count=progress.count + 1,
            token=token,
            keys=progress.keys,
            tokens=ops.slice_update(progress.tokens, (0, progress.count), token[:, None]),
            lengths=progress.lengths + ops.cast(goes_on, "int32"),
            log_probs=progress.log_probs + ops.where(goes_on, log_prob, 0.0),
            is_ended=ops.logical_or(
                progress.is_ended, ops.logical_and(goes_on, token == self.eos_id)
            ),
            state=state,
        )

    def finish(self, progress: Progress) -> Decoded:
        """Returns what was made, the texts of a prompt ordered by log-probability."""
        texts = (progress.tokens, progress.lengths, progress.log_probs)
        tokens, lengths, log_probs = (
            ops.reshape(x, (-1, self.num_samples, *x.shape[1:])) for x in texts
        )
        return Decoded(*best_first((tokens, lengths, log_probs, log_probs), log_probs))


def capacity(inputs: Mapping[str, Any], max_new_tokens: int) -> int:
    """Returns the decoder positions a search needs; the last new token is never fed."""
    prompt = inputs.get("decoder_input_tokens")
    return (1 if prompt is None else prompt.shape[1]) + max_new_tokens - 1


def log_probability(logits: Any, token: Any) -> Any:
    """Returns log softmax(logits)[token], [R, V] and [R] → [R]."""
    chosen = ops.take_along_axis(logits, token[:, None], axis=-1)[:, 0]
    return chosen - ops.logsumexp(logits, axis=-1)
