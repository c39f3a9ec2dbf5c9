"""The settings of a search, and the search that they select."""

from dataclasses import asdict, dataclass
from typing import Any

from lm.decode.beam import BeamSearch
from lm.decode.generator import SearchStrategy
from lm.decode.sampling import (
    LogitsProcessor,
    Sampler,
    Sampling,
    greedy,
    make_sampler,
    temperature,
    top_k,
    top_p,
)
from lm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Greedy search, unless settings select beam search or sampling.

    Args:
        max_new_tokens: length limit of a sequence.
        beam_size: beam width; 1 means no beam search.
        alpha: exponent of the length penalty of beam search.
        temperature: of sampling; None or 0 takes the most probable token, unless `top_k`, `top_p`
            or `num_samples` select sampling, then at temperature 1.
        top_k: sample from this many tokens; None for all.
        top_p: sample from the tokens that hold this probability mass; None for all.
        num_samples: samples per prompt, ranked by their probability (sample-and-rank).

    Raises:
        UserError: settings contradict each other, or one is out of range.

    Example:
        >>> Decoding(beam_size=4, alpha=0.6).settings()
        {'max_new_tokens': 128, 'beam_size': 4, 'alpha': 0.6}
        >>> Decoding(top_k=40).settings()
        {'max_new_tokens': 128, 'temperature': 1.0, 'top_k': 40}
    """

    max_new_tokens: int = 128
    beam_size: int = 1
    alpha: float = 0.0
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    num_samples: int = 1

    def __post_init__(self) -> None:
        """Checks ranges, and that beam search and sampling are not both selected."""
        for name in ("max_new_tokens", "beam_size", "num_samples"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.beam_size > 1 and self.samples:
            raise UserError(
                f"beam_size = {self.beam_size} selects beam search, but temperature, top_k, top_p "
                "or num_samples select sampling: set one or the other"
            )
        if self.temperature == 0 and self.samples:
            raise UserError("temperature = 0 is greedy: leave out top_k, top_p and num_samples")
        try:
            self.search(eos_id=1)
        except ValueError as error:
            raise UserError(str(error)) from error

    @property
    def samples(self) -> bool:
        """Whether tokens are sampled."""
        settings = [self.temperature or None, self.top_k, self.top_p]
        return self.num_samples > 1 or any(setting is not None for setting in settings)

    def search(self, *, eos_id: int) -> SearchStrategy:
        """Returns the search; `eos_id` is -1 if no token ends a sequence."""
        if self.beam_size > 1:
            return BeamSearch(
                beam_size=self.beam_size,
                max_new_tokens=self.max_new_tokens,
                eos_id=eos_id,
                alpha=self.alpha,
            )
        return Sampling(
            sampler=self.sampler(),
            max_new_tokens=self.max_new_tokens,
            eos_id=eos_id,
            num_samples=self.num_samples,
        )

    def sampler(self) -> Sampler:
        """Returns the greedy sampler, or one with temperature, top-k and top-p."""
        if not self.samples:
            return greedy
        processors: list[LogitsProcessor] = []
        if self.temperature is not None:
            processors.append(temperature(self.temperature))
        if self.top_k is not None:
            processors.append(top_k(self.top_k))
        if self.top_p is not None:
            processors.append(top_p(self.top_p))
        return make_sampler(processors)

    def settings(self) -> dict[str, Any]:
        """Returns the settings that have an effect, for the metadata of the results."""
        settings = {name: value for name, value in asdict(self).items() if value is not None}
        if self.samples:
            settings.setdefault("temperature", 1.0)
        unused = {"beam_size", "alpha"} if self.beam_size == 1 else {"num_samples"}
        unused |= {"num_samples"} if self.num_samples == 1 else set()
        order = Decoding.__dataclass_fields__
        return {name: settings[name] for name in order if name in settings and name not in unused}
