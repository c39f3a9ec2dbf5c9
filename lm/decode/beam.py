"""Beam search: the K most probable beginnings are kept, and the K best texts that have ended.

    score(text) = log p(text) / ((5 + length) / 6)^alpha        Wu et al. 2016, equation 14

A beginning that chooses the end token as one of the K best continuations becomes a text. A row is
done once K texts have ended and no living beginning, at its present length, scores more than the
worst of them. Beginnings that reach M tokens count as texts. Shapes: B prompts, K beams, M new
tokens at most, V vocabulary.

Source: Wu et al. 2016 (https://arxiv.org/abs/1609.08144).
Departures: no coverage penalty; the bound looks at present lengths, so that with alpha above 0 a
text is not searched that might win by outgrowing others. Hence a beam of 1 is greedy search.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from keras import ops

from lm.decode.loop import Decoded, capacity
from lm.decode.rank import best_first, take
from lm.decode.rows import reorder, spread

NEVER = float("-inf")


class Living(NamedTuple):
    """Beginnings, the most probable first: int32 [B, K, M] and float32 [B, K]."""

    tokens: Any
    log_probs: Any


class Beams(NamedTuple):
    """What the loop carries.

    Attributes:
        count: int32 scalar, tokens made so far.
        token: int32 [B * K], the last token of each beginning, to feed next.
        living: beginnings.
        ended: the best texts so far; a score of -inf marks a free place.
        is_done: bool [B].
        state: of the model, B * K rows.
    """

    count: Any
    token: Any
    living: Living
    ended: Decoded
    is_done: Any
    state: Any


class BeamSearch:
    """Returns for each prompt the K best texts a beam of K finds.

    Args:
        beam_size: K.
        max_new_tokens: M.
        eos_id: token that ends a text.
        alpha: exponent of the length penalty; 0 compares plain log-probabilities, 0.6 is usual
            for translation.
    """

    def __init__(
        self, *, beam_size: int, max_new_tokens: int, eos_id: int, alpha: float = 0.0
    ) -> None:
        if beam_size < 1:
            raise ValueError(f"beam_size must be at least 1, got {beam_size}")
        if alpha < 0:
            raise ValueError(f"alpha must not be negative, got {alpha}")
        self.beam_size = beam_size
        self.max_new_tokens = max_new_tokens
        self.eos_id = eos_id
        self.alpha = alpha

    def __call__(self, model: Any, inputs: Mapping[str, Any]) -> Decoded:
        """Returns K texts for each of B prompts; arguments as for `loop.Sampling.begin`."""

        def goes_on(beams: Beams) -> Any:
            return ops.logical_and(
                beams.count < self.max_new_tokens, ops.logical_not(ops.all(beams.is_done))
            )

        def next_token(beams: Beams) -> tuple[Beams]:
            logits, state = model.step(beams.token, beams.state)
            return (self.extend(beams._replace(state=state), logits),)

        beams = self.begin(model, inputs)
        return self.finish(ops.while_loop(goes_on, next_token, (beams,))[0])

    def begin(self, model: Any, inputs: Mapping[str, Any]) -> Beams:
        """Reads the prompts; all beams but the first of a row begin with probability 0."""
        token, state = model.start(inputs, capacity(inputs, self.max_new_tokens))
        batch, beams = token.shape[0], self.beam_size
        tokens = ops.zeros((batch, beams, self.max_new_tokens), "int32")
        never = ops.full((batch, beams), NEVER, "float32")
        first = ops.where(ops.arange(beams)[None] == 0, 0.0, never)
        token, state = spread((token, state), beams, room=self.max_new_tokens)
        return Beams(
            count=ops.zeros((), "int32"),
            token=token,
            living=Living(tokens, first),
            ended=Decoded(tokens, ops.zeros((batch, beams), "int32"), never, never),
            is_done=ops.zeros((batch,), "bool"),
            state=state,
        )

    def extend(self, beams: Beams, logits: Any) -> Beams:
        """Returns the beams one token further, given logits [B * K, V]."""
        candidates, parents = self.candidates(beams, logits)
        count = beams.count + 1
        chosen = candidates.tokens[:, :, beams.count]  # [B, 2K]
        is_end = chosen == self.eos_id
        ended = self.collect(beams, candidates, is_end)
        living_scores = ops.where(is_end, NEVER, candidates.log_probs)
        _, places = ops.top_k(living_scores, self.beam_size)
        living = take(Living(candidates.tokens, living_scores), places)
        parents, token = take((parents, chosen), places)  # [B, K]
        best_living = living.log_probs[:, 0] / self.penalty(count)
        # A free place scores -inf, which nothing living falls below.
        is_full = ended.scores[:, -1] > NEVER
        is_done = ops.logical_and(is_full, ended.scores[:, -1] >= best_living)
        return Beams(
            count=count,
            token=ops.reshape(token, (-1,)),
            living=living,
            ended=ended,
            is_done=ops.logical_or(beams.is_done, is_done),
            state=reorder(beams.state, parents),
        )

    def candidates(self, beams: Beams, logits: Any) -> tuple[Living, Any]:
        """Returns the 2K most probable continuations and their parents, int32 [B, 2K].

        At most K of them end, so that K are left to live on.
        """
        vocabulary = logits.shape[-1]
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        log_probs = ops.reshape(log_probs, (-1, self.beam_size, vocabulary))
        totals = beams.living.log_probs[:, :, None] + log_probs  # [B, K, V]
        totals = ops.reshape(totals, (-1, self.beam_size * vocabulary))
        totals, places = ops.top_k(totals, 2 * self.beam_size)
        places = ops.cast(places, "int32")
        parents, chosen = places // vocabulary, places % vocabulary
        tokens = take(beams.living.tokens, parents)  # [B, 2K, M]
        tokens = ops.slice_update(tokens, (0, 0, beams.count), chosen[:, :, None])
        return Living(tokens, totals), parents

    def collect(self, beams: Beams, candidates: Living, is_end: Any) -> Decoded:
        """Returns the K best of the texts so far and those that end now, [B, K]."""
        count = beams.count + 1
        is_in_beam = ops.arange(2 * self.beam_size)[None] < self.beam_size
        is_new = ops.logical_and(is_end, is_in_beam)
        is_new = ops.logical_and(is_new, ops.logical_not(beams.is_done)[:, None])
        return self.merge(beams.ended, candidates, count, is_new)

    def finish(self, beams: Beams) -> Decoded:
        """Lets the living of unfinished rows, now M tokens long, count as texts."""
        is_new = ops.logical_not(beams.is_done)[:, None]
        return self.merge(beams.ended, beams.living, beams.count, is_new)

    def merge(self, ended: Decoded, living: Living, count: Any, is_new: Any) -> Decoded:
        """Returns the K best of ended texts and of those living ones, `count` long, that are new.

        Args:
            ended: [B, K].
            living: [B, J].
            count: int32 scalar.
            is_new: bool [B, 1 or J].
        """
        scores = ops.where(is_new, living.log_probs / self.penalty(count), NEVER)
        lengths = ops.zeros_like(scores, dtype="int32") + count
        new = Decoded(living.tokens, lengths, living.log_probs, scores)
        both = Decoded(*(ops.concatenate(pair, axis=1) for pair in zip(ended, new, strict=True)))
        best = best_first(both, both.scores)
        return Decoded(*(x[:, : self.beam_size] for x in best))

    def penalty(self, length: Any) -> Any:
        """((5 + length) / 6)^alpha."""
        return ((5.0 + ops.cast(length, "float32")) / 6.0) ** self.alpha
