"""A trained model with its vocabularies and settings, as generate, score and eval use it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from lm.decode import model_inputs
from lm.decode.compiled import CompiledByShape
from lm.decode.decoding import Decoding
from lm.decode.generator import Generator
from lm.decode.kernel_copies import KernelCopies
from lm.errors import UserError
from lm.objectives.objective import Objective, predicts_every_token


class InputFormat(NamedTuple):
    """How a model reads its inputs.

    Attributes:
        pack_prompts: makes features of prompts.
        pack_pairs: makes features of inputs and targets.
        has_inputs: whether inputs are a separate feature, with an end token.
        prompt_side: the side that reads the prompt, encoder or decoder.
    """

    pack_prompts: model_inputs.PromptPacker
    pack_pairs: model_inputs.PairPacker
    has_inputs: bool
    prompt_side: str


def causal(start: int) -> InputFormat:
    """Returns the format of a language model whose decoder begins with this token."""
    return InputFormat(
        pack_prompts=partial(model_inputs.causal_prompts, start=start),
        pack_pairs=partial(model_inputs.causal_pairs, start=start),
        has_inputs=False,
        prompt_side="decoder",
    )


INPUT_FORMATS = {
    "encoder-decoder": InputFormat(
        pack_prompts=model_inputs.encoder_prompts,
        pack_pairs=model_inputs.encoder_pairs,
        has_inputs=True,
        prompt_side="encoder",
    ),
    "prefix language model": InputFormat(
        pack_prompts=model_inputs.prefix_prompts,
        pack_pairs=model_inputs.prefix_pairs,
        has_inputs=True,
        prompt_side="decoder",
    ),
    "conditional language model": InputFormat(
        pack_prompts=model_inputs.causal_prompts,
        pack_pairs=model_inputs.causal_pairs,
        has_inputs=True,
        prompt_side="decoder",
    ),
    "language model": causal(model_inputs.START),
}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model with weights, its vocabularies, and the metadata that label its results.

    Attributes:
        objective: the objective, whose `model` it is.
        features: SeqIO's features by name, each with `vocabulary` and `add_eos`.
        task: name of the task or mixture of the training.
        lengths: TASK_FEATURE_LENGTHS of the training.
        converter: factory of the feature converter of the training.
        vocabulary: replaces the tasks' own vocabulary; or None.
        is_carried: whether it was trained with a carry from batch to batch.
        metadata: checkpoint, configuration and tokenizer, stored with results.
        copies: narrow copies of the kernels for inference; None uses the model's own.
        generators: cache of generators, by settings and batch size.
        programs: cache of compiled functions of the objective.
    """

    objective: Objective
    features: Mapping[str, Any]
    task: str
    lengths: Mapping[str, int]
    converter: Callable[..., Any]
    vocabulary: Any = None
    is_carried: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    copies: KernelCopies | None = None
    generators: dict[tuple[Decoding, int], Generator] = field(default_factory=dict)
    programs: dict[Callable[..., Any], CompiledByShape] = field(default_factory=dict)

    @property
    def model(self) -> Any:
        """The model inside the objective."""
        return self.objective.model

    @property
    def has_decoder(self) -> bool:
        """Whether it generates text from left to right."""
        return "decoder" in self.model.sides

    @property
    def predicts_labels(self) -> bool:
        """Whether it predicts labels or scores, not text."""
        return hasattr(self.objective, "predictions")

    @property
    def predicts_text(self) -> bool:
        """Whether it assigns probabilities to texts."""
        return hasattr(self.objective, "scores")

    @property
    def predicts_every_token(self) -> bool:
        """Whether it predicts every token of a text, not just masked ones."""
        return predicts_every_token(self.objective)

    @property
    def input_format(self) -> InputFormat:
        """How it reads its inputs."""
        found, start = INPUT_FORMATS[self.kind], self.start_token
        return found if start == model_inputs.START else causal(start)

    @property
    def start_token(self) -> int:
        """The token its decoder begins with."""
        return getattr(self.converter(), "start_token", model_inputs.START)

    @property
    def kind(self) -> str:
        """Which of `INPUT_FORMATS` it has.

        Raises:
            UserError: the model has no decoder, or labels.
        """
        if self.predicts_labels:
            raise UserError(f"{type(self.objective).__name__} generates no text: use `lm predict`")
        if not self.has_decoder:
            raise UserError(f"{type(self.model).__name__} has no decoder: it generates no text")
        if "encoder" in self.model.sides:
            return "encoder-decoder"
        converter = self.converter()
        if "inputs" not in converter.task_features:
            return "language model"
        is_causal = getattr(converter, "is_causal", False)
        return "conditional language model" if is_causal else "prefix language model"

    def ids(self, text: str, feature: str, *, add_eos: bool | None = None) -> list[int]:
        """Returns a text as ids.

        Args:
            text: the text.
            feature: `inputs` or `targets`.
            add_eos: whether to append the end token; by default as in the task.
        """
        found = self.features[feature]
        tokens = [int(i) for i in found.vocabulary.encode(text)]
        ends = found.add_eos if add_eos is None else add_eos
        return [*tokens, found.vocabulary.eos_id] if ends else tokens

    def prompt_ids(self, text: str) -> list[int]:
        """Returns the ids of a prompt: inputs with their end token, or a text to continue."""
        if self.input_format.has_inputs:
            return self.ids(text, "inputs")
        return self.ids(text, "targets", add_eos=False)

    def text(self, tokens: Sequence[int]) -> str:
        """Returns the text of target ids up to the end token."""
        return self.features["targets"].vocabulary.decode(list(tokens))

    @property
    def eos_id(self) -> int:
        """The token that ends a target; -1 if targets have no end."""
        found = self.features["targets"]
        return found.vocabulary.eos_id if found.add_eos else -1

    def generator(self, decoding: Decoding, batch_size: int) -> Generator:
        """Returns the generator of these settings, compiled at most once for each shape.

        Raises:
            UserError: the model has too few positions for so many new tokens.
        """
        key = (decoding, batch_size)
        if key not in self.generators:
            self.generators[key] = Generator(
                model=self.model,
                search=decoding.search(eos_id=self.eos_id),
                packer=self.input_format.pack_prompts,
                batch_size=batch_size,
                max_prompt_length=self.max_prompt_length(decoding.max_new_tokens),
                copies=self.copies,
            )
        return self.generators[key]

    def program(self, function: Callable[[Any, Any], Any]) -> CompiledByShape:
        """Returns `function(objective, features)`, compiled at most once for each shape."""
        if function not in self.programs:
            self.programs[function] = CompiledByShape(self.objective, function, self.copies)
        return self.programs[function]

    def max_prompt_length(self, max_new_tokens: int) -> int | None:
        """Returns the longest prompt for a number of new tokens; None if there is no limit.

        Raises:
            UserError: the decoder has too few positions.
        """
        limit = self.model.decoder.max_sequence_length
        if limit is not None and max_new_tokens > limit:
            raise UserError(
                f"max_new_tokens = {max_new_tokens}: the decoder has {limit} positions; lower it"
            )
        if self.input_format.prompt_side == "encoder":
            return self.model.encoder.max_sequence_length
        # The last new token is never fed back.
        return None if limit is None else limit - max_new_tokens + 1
