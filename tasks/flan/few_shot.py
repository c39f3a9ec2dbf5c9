"""Few-shot inputs: as many exemplars before the question as a budget of tokens allows."""

from collections.abc import Mapping

import seqio
import tensorflow as tf

from lm.data.mapping import mapped

BUDGET = 960
INPUTS, TARGETS = "exemplar_inputs", "exemplar_targets"

Features = Mapping[str, tf.Tensor]


def with_exemplars(
    dataset: tf.data.Dataset,
    output_features: Mapping[str, seqio.Feature],
    *,
    budget: int = BUDGET,
) -> tf.data.Dataset:
    r"""Puts exemplars before the inputs: the first ones that fit, in order.

        input₁ \n target₁ \n\n  input₂ \n target₂ \n\n  …  inputs,
        Σ_i (|input_i| + |target_i|) ≤ budget − |inputs|

    Args:
        dataset: examples with `inputs` and the texts of their exemplars; returned unchanged
            without exemplars.
        output_features: of the task, for the vocabulary.
        budget: tokens for exemplars and inputs together.

    Source: Wei et al. 2022 (https://arxiv.org/abs/2109.01652), section 4.4; the rule is the
    release's.
    """
    vocabulary = output_features["inputs"].vocabulary

    def count(text: tf.Tensor) -> tf.Tensor:
        return tf.size(vocabulary.encode_tf(text))

    def joined(example: Features) -> Features:
        inputs, targets = example[INPUTS], example[TARGETS]
        sizes = tf.map_fn(
            lambda pair: count(pair[0]) + count(pair[1]),
            (inputs, targets),
            fn_output_signature=tf.int32,
        )
        fits = tf.cumsum(sizes) <= budget - count(example["inputs"])
        shots = tf.boolean_mask(tf.strings.join([inputs, "\n", targets, "\n\n"]), fits)
        whole = tf.strings.join([tf.strings.reduce_join(shots), example["inputs"]])
        rest = {name: value for name, value in example.items() if name not in (INPUTS, TARGETS)}
        return {**rest, "inputs": whole, "shots": tf.size(shots)}

    return mapped(dataset, joined) if INPUTS in dataset.element_spec else dataset
