"""Beam search over K alive prefixes, collecting the K best finished sequences.

    score(sequence) = log p(sequence) / ((5 + length) / 6)^alpha      Wu et al. 2016, equation 14

A candidate that ends with the end token and is among the K best becomes a finished sequence. A row
is done once it has K finished sequences and no alive prefix scores higher, at its current length,
than the worst of them. Prefixes of M tokens count as finished. Shapes: B prompts, K beams, at most
M new tokens, V vocabulary.

Source: Wu et al. 2016 (https://arxiv.org/abs/1609.08144).
Departures: no coverage penalty. The stopping rule uses the scores at current lengths, so with alpha
above 0 the search may stop before a longer sequence that would win; hence a beam of 1 is greedy
search.
"""

from typing import Any, NamedTuple

from keras import ops

from lm.decode.rows import best_first, expand, gather, reorder
from lm.decode.sampling import Decoded, capacity
from lm.types import Features, Tensor, Tree

NEG_INF = float("-inf")


class Alive(NamedTuple):
    """Unfinished prefixes, most probable first: int32 [B, K, M], float32 [B, K]."""

    tokens: Tensor
    log_probs: Tensor


class BeamState(NamedTuple):
    """The state of the loop.

    Attributes:
        step: int32 scalar, tokens generated so far.
        token: int32 [B * K], the last token of each prefix, fed next.
        alive: the unfinished prefixes.
        finished: the best finished sequences; a score of -inf marks an empty entry.
        is_done: bool [B].
        model_state: the state of the model, B * K rows.
    """

    step: Tensor
    token: Tensor
    alive: Alive
    finished: Decoded
    is_done: Tensor
    model_state: Tree


class BeamSearch:
    """Beam search: returns the K best sequences for each prompt.

    Args:
        beam_size: K.
        max_new_tokens: M.
        eos_id: token that ends a sequence.
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

    def __call__(self, model: Any, inputs: Features) -> Decoded:
        """Returns K sequences for each of B prompts; arguments as for `Sampling.begin`."""

        def has_next(beams: BeamState) -> Tensor:
            return ops.logical_and(
                beams.step < self.max_new_tokens, ops.logical_not(ops.all(beams.is_done))
            )

        def next_token(beams: BeamState) -> tuple[BeamState]:
            logits, model_state = model.step(beams.token, beams.model_state)
            return (self.extend(beams._replace(model_state=model_state), logits),)

        beams = self.begin(model, inputs)
        return self.finish(ops.while_loop(has_next, next_token, (beams,))[0])

    def begin(self, model: Any, inputs: Features) -> BeamState:
        """Reads the prompts."""
        token, model_state = model.start(inputs, capacity(inputs, self.max_new_tokens))
        batch, beams = token.shape[0], self.beam_size
        tokens = ops.zeros((batch, beams, self.max_new_tokens), "int32")
        neg_inf = ops.full((batch, beams), NEG_INF, "float32")
        # The K prefixes are equal at first: all but one start at -inf, to avoid duplicates.
        first = ops.where(ops.arange(beams)[None] == 0, 0.0, neg_inf)
        token, model_state = expand((token, model_state), beams, new_slots=self.max_new_tokens)
        return BeamState(
            step=ops.zeros((), "int32"),
            token=token,
            alive=Alive(tokens, first),
            finished=Decoded(tokens, ops.zeros((batch, beams), "int32"), neg_inf, neg_inf),
            is_done=ops.zeros((batch,), "bool"),
            model_state=model_state,
        )

    def extend(self, beams: BeamState, logits: Tensor) -> BeamState:
        """Returns the beams one token further, given logits [B * K, V]."""
        candidates, parents = self.candidates(beams, logits)
        step = beams.step + 1
        chosen = candidates.tokens[:, :, beams.step]  # [B, 2K]
        is_eos = chosen == self.eos_id
        finished = self.collect(beams, candidates, is_eos)
        # The K best candidates that do not end remain alive.
        alive_scores = ops.where(is_eos, NEG_INF, candidates.log_probs)
        _, indices = ops.top_k(alive_scores, self.beam_size)
        alive = gather(Alive(candidates.tokens, alive_scores), indices)
        parents, token = gather((parents, chosen), indices)  # [B, K]
        best_alive = alive.log_probs[:, 0] / self.penalty(step)
        # Empty entries score -inf, so a row is not done before it has K finished sequences.
        is_full = finished.scores[:, -1] > NEG_INF
        is_done = ops.logical_and(is_full, finished.scores[:, -1] >= best_alive)
        return BeamState(
            step=step,
            token=ops.reshape(token, (-1,)),
            alive=alive,
            finished=finished,
            is_done=ops.logical_or(beams.is_done, is_done),
            model_state=reorder(beams.model_state, parents),
        )

    def candidates(self, beams: BeamState, logits: Tensor) -> tuple[Alive, Tensor]:
        """Returns the 2K most probable continuations and their parents, int32 [B, 2K].

        At most K of them end, one for each parent, so at least K remain alive.
        """
        vocabulary = logits.shape[-1]
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        log_probs = ops.reshape(log_probs, (-1, self.beam_size, vocabulary))
        totals = beams.alive.log_probs[:, :, None] + log_probs  # [B, K, V]
        totals = ops.reshape(totals, (-1, self.beam_size * vocabulary))
        totals, indices = ops.top_k(totals, 2 * self.beam_size)  # [B, 2K]
        indices = ops.cast(indices, "int32")
        parents, chosen = indices // vocabulary, indices % vocabulary
        tokens = gather(beams.alive.tokens, parents)  # [B, 2K, M]
        tokens = ops.slice_update(tokens, (0, 0, beams.step), chosen[:, :, None])
        return Alive(tokens, totals), parents

    def collect(self, beams: BeamState, candidates: Alive, is_eos: Tensor) -> Decoded:
        """Returns the K best of the finished sequences and the candidates that end now, [B, K]."""
        # Only candidates among the K best of the 2K may finish.
        is_in_beam = ops.arange(2 * self.beam_size)[None] < self.beam_size
        is_new = ops.logical_and(is_eos, is_in_beam)
        is_new = ops.logical_and(is_new, ops.logical_not(beams.is_done)[:, None])
        return self.merge(beams.finished, candidates, beams.step + 1, is_new)

    def finish(self, beams: BeamState) -> Decoded:
        """Adds the prefixes of unfinished rows, now M tokens long, to the finished sequences."""
        is_new = ops.logical_not(beams.is_done)[:, None]
        return self.merge(beams.finished, beams.alive, beams.step, is_new)

    def merge(self, finished: Decoded, alive: Alive, length: Tensor, is_new: Tensor) -> Decoded:
        """Returns the K best of the finished sequences and of the new ones among those alive.

        Args:
            finished: [B, K].
            alive: [B, J].
            length: int32 scalar, of those alive.
            is_new: bool [B, 1 or J].
        """
        scores = ops.where(is_new, alive.log_probs / self.penalty(length), NEG_INF)
        lengths = ops.zeros_like(scores, dtype="int32") + length
        new = Decoded(alive.tokens, lengths, alive.log_probs, scores)
        both = Decoded(*(ops.concatenate(xs, axis=1) for xs in zip(finished, new, strict=True)))
        best = best_first(both, both.scores)
        return Decoded(*(x[:, : self.beam_size] for x in best))

    def penalty(self, length: Tensor) -> Tensor:
        """((5 + length) / 6)^alpha."""
        return ((5.0 + ops.cast(length, "float32")) / 6.0) ** self.alpha
