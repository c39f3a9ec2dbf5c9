"""Routers: choose the experts of each token, for groups of tokens.

Besides the letters of `lm.nn.branch`: G groups, S tokens of a group, E experts, K choices of a
token. `lm.nn.moe` decides what happens to a choice: evaluation drops none; in training with a
capacity, the choices of a group compete for slots. A token's result depends on others as follows:

    router          in evaluation    in training under a capacity
    SwitchRouter    never            on the tokens before it: causal, but packed examples compete
    NoisyTopKRouter never            with k > 1 on the first choices of later tokens: not causal
    TopTwoRouter    never            on the first choices of later tokens: not causal
    ExpertChoice    on its example   on all tokens of the group: for bidirectional encoders only

All routers compute in float32 for any compute dtype.
"""

from typing import ClassVar

import keras
from keras import ops

from lm.nn.initializers import Initializer
from lm.nn.random import uniform
from lm.nn.routing import (
    Choices,
    Competition,
    check_num_experts,
    largest,
    ranks,
    report_balance,
    segment_sizes,
    softmax_gate,
)
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt
from lm.types import Shape, Tensor, Training


@part
class SwitchRouter(keras.layers.Layer):
    """Top-1: `p = softmax(x W), e = argmax p`, and the gate is p_e, not renormalised to 1.

    Minimises `balance_loss · E Σ_e f_e P_e + z_loss · mean (log Σ exp(x W))²`, with f_e the share
    of a group's tokens that request e and P_e the mean of p_e; padding counts in neither.

    Args:
        num_experts: E.
        jitter: half width ε of the factors U(1 - ε, 1 + ε) on x in training (1e-2).
        balance_loss: factor of the first loss (1e-2); it is 1 where routing is uniform.
        z_loss: factor of the second (ST-MoE: 1e-3).
        kernel_initializer: name or factory for the initial values of W [D, E].

    Source: Fedus et al. 2021 (https://arxiv.org/abs/2101.03961), sections 2.2 and 2.4.
    """

    logical_axes: ClassVar = {"scores/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        num_experts: PositiveInt,
        jitter: NonNegativeFloat = 1e-2,
        balance_loss: NonNegativeFloat = 1e-2,
        z_loss: NonNegativeFloat = 0.0,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = check_num_experts(num_experts)
        self.gate = softmax_gate(
            num_experts, jitter=jitter, z_loss=z_loss, kernel_initializer=kernel_initializer
        )
        self.balance_loss = balance_loss

    def build(self, x_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del x_shape

    def call(self, x: Tensor, competition: Competition) -> Choices:
        """Returns the experts that x [G, S, D] requests."""
        real = competition.real
        probabilities = self.gate.probabilities(x, real)  # [G, S, E]
        gate, expert = largest(probabilities, 1)
        report_balance(probabilities, expert[..., 0], real, self.balance_loss)
        return Choices(expert, gate, real[..., None])


@part
class TopTwoRouter(keras.layers.Layer):
    """Top-2: `g = softmax(x W)`, the two largest gates, divided by their sum.

    All first choices get slots before any second one. In training a second choice is made with
    probability `min(1, g_2 / threshold)`, in evaluation always. Losses as in `SwitchRouter`, with
    f_e of the first choices.

    Args:
        num_experts: E.
        second_threshold: gate from which a second choice is always made (0.2); 0 makes all.
        jitter, balance_loss, z_loss, kernel_initializer: as in `SwitchRouter`.

    Source: Lepikhin et al. 2020 (https://arxiv.org/abs/2006.16668), section 2.2 and algorithm 1;
    the threshold and 1e-9 in the sum: Mesh TensorFlow. Zoph et al. 2022
    (https://arxiv.org/abs/2202.08906) for ST-MoE.
    Departures: no random drops in evaluation; Mesh TensorFlow drops second choices there too.
    """

    logical_axes: ClassVar = {"scores/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        num_experts: PositiveInt,
        second_threshold: float = 0.2,
        jitter: NonNegativeFloat = 0.0,
        balance_loss: NonNegativeFloat = 1e-2,
        z_loss: NonNegativeFloat = 0.0,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = check_num_experts(num_experts, at_least=2)
        self.second_threshold = second_threshold
        self.gate = softmax_gate(
            num_experts, jitter=jitter, z_loss=z_loss, kernel_initializer=kernel_initializer
        )
        self.balance_loss = balance_loss

    def build(self, x_shape: Shape) -> None:
        del x_shape
        if self.second_threshold > 0:
            self.seed = keras.random.SeedGenerator(name="seed")

    def call(self, x: Tensor, competition: Competition, training: Training = None) -> Choices:
        """Returns the experts that x [G, S, D] requests."""
        real = competition.real
        probabilities = self.gate.probabilities(x, real)
        gate, expert = largest(probabilities, 2)  # [G, S, 2]
        report_balance(probabilities, expert[..., 0], real, self.balance_loss)
        gate = gate / (ops.sum(gate, axis=-1, keepdims=True) + 1e-9)
        requested = ops.repeat(real[..., None], 2, axis=-1)
        if training and self.second_threshold > 0:
            drawn = uniform(ops.shape(gate), self.seed) * self.second_threshold < gate
            is_first = ops.arange(2) == 0
            requested = ops.logical_and(requested, ops.logical_or(drawn, is_first))
        return Choices(expert, gate, requested)


@part
class ExpertChoiceRouter(keras.layers.Layer):
    """Expert choice: each expert takes the `capacity_factor · n / E` tokens with the largest gates.

    The gate is `softmax(x W)_e`; factor and rounding are those of the mixture. All experts are
    full, so no balance loss is needed, and a token may go to several experts or to none. The result
    of a token depends on all n tokens, also later ones: for bidirectional encoders only. In
    training these are the real tokens of a group, as in the paper, so that packed examples compete;
    in evaluation those of one example, which then depends on neither packing, padding nor batch.

    Args:
        num_experts: E.
        jitter, z_loss, kernel_initializer: as in `SwitchRouter`.

    Source: Zhou et al. 2022 (https://arxiv.org/abs/2202.09368), section 3.2.
    """

    logical_axes: ClassVar = {"scores/kernel": ("embed", "unmodeled")}

    looks_ahead = "moe.MixtureOfExperts.router"

    def __init__(
        self,
        *,
        num_experts: PositiveInt,
        jitter: NonNegativeFloat = 0.0,
        z_loss: NonNegativeFloat = 0.0,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = check_num_experts(num_experts)
        self.gate = softmax_gate(
            num_experts, jitter=jitter, z_loss=z_loss, kernel_initializer=kernel_initializer
        )

    def build(self, x_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del x_shape

    def call(self, x: Tensor, competition: Competition) -> Choices:
        """Returns the experts that x [G, S, D] requests."""
        real = competition.real
        gate = self.gate.probabilities(x, real)  # [G, S, E]
        rank = ranks(ops.stop_gradient(gate), competition.segments)
        slots = ops.take(competition.slots, segment_sizes(competition.segments))  # [G, S]
        requested = ops.logical_and(rank < slots[..., None], real[..., None])
        expert = ops.zeros_like(rank) + ops.arange(self.num_experts, dtype="int32")
        return Choices(expert, gate, requested)
