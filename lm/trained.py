"""A trained model with what it needs to read and write text: what the verbs after training use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lm.decode import model_inputs
from lm.decode.compiled import CompiledByShape
from lm.decode.decoding import Decoding
from lm.decode.generator import Generator
from lm.errors import UserError
from lm.objectives.objective import Objective


class Reader(NamedTuple):
    """How a model takes its inputs.

    Attributes:
        prompt: maker of features from prompts.
        row: maker of features from inputs and targets.
        reads_inputs: whether inputs are a feature of their own, with its own end token.
        side: which side of the model takes the prompt.
    """

    prompt: model_inputs.PromptPacker
    row: model_inputs.PairPacker
    reads_inputs: bool
    side: str


READERS = {
    "encoder-decoder": Reader(
        model_inputs.encoder_prompts, model_inputs.encoder_pairs, reads_inputs=True, side="encoder"
    ),
    "prefix language model": Reader(
        model_inputs.prefix_prompts, model_inputs.prefix_pairs, reads_inputs=True, side="decoder"
    ),
    "language model": Reader(
        model_inputs.causal_prompts, model_inputs.causal_pairs, reads_inputs=False, side="decoder"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model with weights, its vocabularies, and what its figures are to be labelled with.

    Attributes:
        objective: the objective, whose `model` it is.
        features: SeqIO's features by name, each with `vocabulary` and `add_eos`.
        task: name of the task or mixture it was trained on.
        lengths: TASK_FEATURE_LENGTHS of the training.
        converter: factory of the feature converter of the training.
        vocabulary: what replaces the tasks' own vocabulary, or None.
        goes_on: whether it was trained on rows that go on, with a carry from batch to batch.
        facts: checkpoint, configuration and tokenizer, for the records beside results.
        generators: those compiled so far.
        programs: functions of the objective compiled so far.
    """

    objective: Objective
    features: Mapping[str, Any]
    task: str
    lengths: Mapping[str, int]
    converter: Callable[..., Any]
    vocabulary: Any = None
    goes_on: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    generators: dict[tuple[Decoding, int], Generator] = field(default_factory=dict)
    programs: dict[Callable[..., Any], CompiledByShape] = field(default_factory=dict)

    @property
    def model(self) -> Any:
        """The model inside the objective."""
        return self.objective.model

    @property
    def writes(self) -> bool:
        """Whether it has a decoder, which makes text from left to right."""
        return "decoder" in self.model.sides

    @property
    def reader(self) -> Reader:
        """How it takes its inputs."""
        return READERS[self.kind]

    @property
    def kind(self) -> str:
        """Which of `READERS` it is.

        Raises:
            UserError: the model has no decoder.
        """
        if not self.writes:
            raise UserError(f"{type(self.model).__name__} has no decoder: it writes no text")
        if "encoder" in self.model.sides:
            return "encoder-decoder"
        reads_inputs = "inputs" in self.converter().task_features
        return "prefix language model" if reads_inputs else "language model"

    def ids(self, text: str, feature: str, *, add_eos: bool | None = None) -> list[int]:
        """Returns a text as ids.

        Args:
            text: the text.
            feature: `inputs` or `targets`.
            add_eos: whether the end token follows; by default as the task has it.
        """
        found = self.features[feature]
        tokens = [int(i) for i in found.vocabulary.encode(text)]
        ends = found.add_eos if add_eos is None else add_eos
        return [*tokens, found.vocabulary.eos_id] if ends else tokens

    def prompt_ids(self, text: str) -> list[int]:
        """Returns the ids of a prompt: inputs with their end, or a text to go on with."""
        if self.reader.reads_inputs:
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
                packer=self.reader.prompt,
                batch_size=batch_size,
                max_prompt_length=self.room(decoding.max_new_tokens),
            )
        return self.generators[key]

    def program(self, function: Callable[[Any, Any], Any]) -> CompiledByShape:
        """Returns `function(objective, features)`, compiled at most once for each shape."""
        return self.programs.setdefault(function, CompiledByShape(self.objective, function))

    def room(self, max_new_tokens: int) -> int | None:
        """Returns the positions a prompt may take beside so many new tokens; None if any.

        Raises:
            UserError: there are none.
        """
        limit = self.model.decoder.max_sequence_length
        if limit is not None and max_new_tokens > limit:
            raise UserError(
                f"max_new_tokens = {max_new_tokens}: the decoder has {limit} positions; lower it"
            )
        if self.reader.side == "encoder":
            return self.model.encoder.max_sequence_length
        # The last new token is never read.
        return None if limit is None else limit - max_new_tokens + 1
