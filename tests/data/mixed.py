"""A pipeline over a mixture, made anew in any process."""

import seqio
import tensorflow as tf

from lm.data.batching import pipeline
from lm.data.rows import features, packing
from tests.data import toy


@seqio.map_over_dataset(num_seeds=1)
def noisy(example, seed):
    """Adds a random token, another one every epoch."""
    token = tf.random.stateless_uniform([1], seed, 3, 250, tf.int32)
    return example | {"targets": tf.concat([token, example["targets"]], 0)}


def make():
    """Two tasks, one of them random, packed."""
    toy.task("mixed_a", {"train": toy.numbered(30)})
    toy.task("mixed_b", {"train": toy.numbered(11)}, preprocessors=[noisy])
    seqio.MixtureRegistry.remove("mixed")
    seqio.MixtureRegistry.add("mixed", [("mixed_a", 1), ("mixed_b", 2)])
    return pipeline.Pipeline(
        mixture_or_task_name="mixed",
        lengths={"inputs": 16, "targets": 32},
        converter=lambda: features.EncoderDecoder(pack=lambda: packing.FirstFit(group=16)),
        batch_size=2,
        seed=5,
        shuffle_buffer=20,
    )
