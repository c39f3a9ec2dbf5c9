"""The step on TensorFlow: one XLA function over the Keras variables, a while loop over parts."""

from typing import Any

import keras
import tensorflow as tf

from lm.engines.outcome import Outcome
from lm.engines.program import Features, Program
from lm.optim.optimizer import Optimizer


class Engine:
    """Runs an objective and an optimizer, compiled.

    Args:
        objective: a model with `terms`.
        optimizer: its update rule.
        features: a batch, or for each feature anything with its shape and dtype.
        microbatches: parts of a batch whose gradients are summed before the update.
    """

    def __init__(
        self, *, objective: Any, optimizer: Optimizer, features: Features, microbatches: int = 1
    ) -> None:
        self.program = Program(
            objective=objective, optimizer=optimizer, features=features, microbatches=microbatches
        )
        self._train = tf.function(self._train_step, jit_compile=True, autograph=False)
        self._evaluate = tf.function(self._evaluate_step, jit_compile=True, autograph=False)

    def step(self, batch: Features) -> Outcome:
        """Make one update from a batch; on an accelerator it does not wait for it."""
        return self._train(_tensors(batch))

    def evaluate(self, batch: Features) -> dict[str, tuple[Any, Any]]:
        """Return name -> (total, weight) of one batch, with averaged weights where kept."""
        return {name: (x[0], x[1]) for name, x in self._evaluate(_tensors(batch)).items()}

    def logs(self) -> dict[str, float]:
        """Return the means of the log window and start a new one; waits for the device."""
        logs = self.program.meter.read()
        self.program.meter.reset()
        return logs

    def pull(self) -> None:
        """Nothing to do: the Keras variables are the state."""

    def push(self) -> None:
        """Nothing to do: the Keras variables are the state."""

    def _train_step(self, batch: Features) -> Outcome:
        """Change the state by one update; return what became of it."""
        # Keras' convert_to_tensor hands a variable back unread; identity reads it here and now.
        before = [tf.identity(v.value) for v in self.program.guarded]
        gradients, terms = self._gradients(batch)
        return self.program.update(gradients=gradients, terms=terms, before=before)

    def _gradients(self, batch: Features) -> tuple[list[Any], dict[str, Any]]:
        """Return the summed gradients and terms of all microbatches."""
        program = self.program
        if program.microbatches == 1:
            return self._differentiate(batch)
        parts = program.split(batch)

        def add(i: Any, gradients: list[Any], terms: dict[str, Any]) -> tuple:
            more, more_terms = self._differentiate({name: x[i] for name, x in parts.items()})
            gradients = [g + tf.cast(m, "float32") for g, m in zip(gradients, more, strict=True)]
            return i + 1, gradients, {name: x + more_terms[name] for name, x in terms.items()}

        zeros = [tf.zeros(w.shape, "float32") for w in program.weights]
        terms = {name: tf.zeros((2,)) for name in program.terms}
        count = program.microbatches
        loop = tf.while_loop(lambda i, *_: i < count, add, (0, zeros, terms))
        return loop[1], loop[2]

    def _differentiate(self, batch: Features) -> tuple[list[Any], dict[str, Any]]:
        """Return the gradients of the sum of losses, dense, and the terms."""
        variables = [w.value for w in self.program.weights]
        with tf.GradientTape() as tape:
            terms = self.program.forward(batch, training=True)
            loss = terms["loss"][0]
        gradients = tape.gradient(
            loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return [tf.convert_to_tensor(g) for g in gradients], terms

    def _evaluate_step(self, batch: Features) -> dict[str, Any]:
        """Return the terms of one batch; what the pass would change in the state is dropped."""
        with keras.StatelessScope(state_mapping=self.program.averaged()):
            return self.program.forward(batch, training=False)


def _tensors(batch: Features) -> dict[str, Any]:
    """Return the batch as tensors, so that no array is taken for a constant."""
    return {name: tf.convert_to_tensor(x) for name, x in batch.items()}
