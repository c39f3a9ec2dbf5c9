"""Feature converters: from a task's features to a model's, under SeqIO's names.

With one of them, `converter.to_rows` turns task examples into rows of fixed shape. Rows always have
segment ids (1, 2, … for the examples in a row, 0 for padding) and positions, packed or not. Padding
is where the segment id is 0; a token 0 may be text.

A row of the encoder-decoder converter, two examples packed
({inputs: 7 8 5 1, targets: 3 9 1} and {inputs: 8 4 1, targets: 5 1}):

    encoder_input_tokens   7 8 5 1 8 4 1 0     decoder_target_tokens  3 9 1 5 1 0
    encoder_segment_ids    1 1 1 1 2 2 2 0     decoder_input_tokens   0 3 9 0 5 0
    encoder_positions      0 1 2 3 0 1 2 0     decoder_loss_weights   1 1 1 1 1 0
                                               decoder_segment_ids    1 1 1 2 2 0
                                               decoder_positions      0 1 2 0 1 0
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.rows import packing
from lm.data.rows.converter import one_row
from lm.data.rows.packing import Features, Lengths, Packer
from lm.errors import UserError
from lm.parts import part
from lm.ranges import NonNegativeInt

Fit = Callable[[tf.data.Dataset, Lengths], tf.data.Dataset]


@part
class LanguageModel:
    """Rows of `lengths["targets"]` for a decoder that predicts `targets` from left to right.

    Empty examples are left out.

    Args:
        pack: factory of a packer, e.g. `packing.FirstFit`; None puts one example in a row.
        fit: what to do with examples longer than the row: `packing.split` keeps all tokens,
            `packing.trim` truncates.
        start_token: the first input token of every example; 50256 in GPT-2's release.

    Example:
        >>> dataset = tf.data.Dataset.from_tensors({"targets": [3, 9, 1]})
        >>> from lm.data.rows.converter import to_rows
        >>> row = next(to_rows(LanguageModel(), dataset, {"targets": 5}).as_numpy_iterator())
        >>> for name in ("decoder_input_tokens", "decoder_target_tokens", "decoder_segment_ids"):
        ...     print(name, row[name].tolist())
        decoder_input_tokens [0, 3, 9, 1, 0]
        decoder_target_tokens [3, 9, 1, 0, 0]
        decoder_segment_ids [1, 1, 1, 0, 0]
    """

    task_features = ("targets",)

    def __init__(
        self,
        *,
        pack: Callable[[], Packer] | None = None,
        fit: Fit = packing.split,
        start_token: NonNegativeInt = 0,
    ):
        self.packer = _packer(pack)
        self.start_token = start_token
        self.fit = fit
        self.trims = () if fit is packing.split else self.task_features

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row."""
        dataset = with_features(dataset, self.task_features)
        dataset = dataset.filter(lambda example: tf.size(example["targets"]) > 0)
        return self.fit(dataset, self.row_lengths(lengths))

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the targets."""
        return needed(lengths, self.task_features)

    def convert(self, rows: Features) -> Features:
        """Returns the decoder's features."""
        return decoder(rows, self.packer.shift, self.start_token)

    def num_rows(self, example: Mapping[str, Any], lengths: Lengths) -> int:
        """Returns the number of parts that `fit` makes of the targets."""
        return _num_parts(self.fit, len(example["targets"]), lengths["targets"])


@part
class PrefixLanguageModel:
    """Rows for a decoder with bidirectional attention in `inputs`, which predicts `targets`.

    A row holds the inputs and then the targets; its length is the sum of their lengths. The loss
    covers the targets. Longer examples are truncated; the pipeline logs how many.
    `decoder_causal_attention` is 1 at the prefix and at the position that predicts the first
    target, whose input is the prefix's last token.

    Args:
        pack: factory of a packer, e.g. `packing.FirstFit`; None puts one example in a row.
    """

    task_features = ("inputs", "targets")
    trims = task_features

    def __init__(self, *, pack: Callable[[], Packer] | None = None):
        self.packer = _packer(pack)

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples with inputs and targets truncated and joined."""
        lengths = needed(lengths, self.task_features)
        return mapped(packing.trim(with_features(dataset, self.task_features), lengths), _join)

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the sum of both lengths, for every feature of the joined examples."""
        length = sum(needed(lengths, self.task_features).values())
        return dict.fromkeys(("targets", "loss_weights", "prefix"), length)

    def convert(self, rows: Features) -> Features:
        """Returns the decoder's features and the mask of the prefix."""
        return decoder(rows, self.packer.shift) | {
            "decoder_loss_weights": tf.cast(rows["loss_weights"], tf.float32),
            "decoder_causal_attention": rows["prefix"],
        }

    num_rows = one_row


@part
class ConditionalLanguageModel:
    """Rows for a decoder that reads `inputs` and then predicts `targets`, all from left to right.

    Like those of `PrefixLanguageModel`, but with causal attention throughout.

    Args:
        pack: factory of a packer, e.g. `packing.FirstFit`; None puts one example in a row.

    Example:
        >>> dataset = tf.data.Dataset.from_tensors({"inputs": [7, 8], "targets": [3, 1]})
        >>> lengths = {"inputs": 2, "targets": 3}
        >>> from lm.data.rows.converter import to_rows
        >>> converter = ConditionalLanguageModel()
        >>> row = next(to_rows(converter, dataset, lengths).as_numpy_iterator())
        >>> for name in ("decoder_input_tokens", "decoder_loss_weights"):
        ...     print(name, row[name].astype(int).tolist())
        decoder_input_tokens [0, 7, 8, 3, 1]
        decoder_loss_weights [0, 0, 1, 1, 0]
    """

    task_features = PrefixLanguageModel.task_features
    trims = task_features
    is_causal = True

    def __init__(self, *, pack: Callable[[], Packer] | None = None):
        self.joined = PrefixLanguageModel(pack=pack)
        self.packer = self.joined.packer
        self.prepare = self.joined.prepare
        self.row_lengths = self.joined.row_lengths

    def convert(self, rows: Features) -> Features:
        """Returns the decoder's features."""
        made = self.joined.convert(rows)
        return {name: x for name, x in made.items() if name != "decoder_causal_attention"}

    num_rows = one_row


@part
class EncoderDecoder:
    """Rows for an encoder that reads `inputs` and a decoder that predicts `targets`.

    Longer examples are truncated; the pipeline logs how many.

    Args:
        pack: factory of a packer, e.g. `packing.FirstFit`; None puts one example in a row.
    """

    task_features = ("inputs", "targets")
    trims = task_features

    def __init__(self, *, pack: Callable[[], Packer] | None = None):
        self.packer = _packer(pack)

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns truncated examples."""
        return packing.trim(with_features(dataset, self.task_features), self.row_lengths(lengths))

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the lengths of both features."""
        return needed(lengths, self.task_features)

    def convert(self, rows: Features) -> Features:
        """Returns the encoder's and the decoder's features."""
        return encoder(rows) | decoder(rows, self.packer.shift)

    num_rows = one_row


@part
class Encoder:
    """Rows of `lengths["inputs"]` for an encoder that predicts one target per input token.

    `targets` and `inputs` have the same length, and so has the optional feature `loss_weights`: the
    weight of each token's loss, by default 1. `lm.data.preprocessing.masking.mask_tokens` makes all
    three for masked language modelling. Empty examples are left out.

    Args:
        pack: factory of a packer, e.g. `packing.FirstFit`; None puts one example in a row.
        fit: what to do with examples longer than the row, `packing.split` or `packing.trim`.
    """

    task_features = ("inputs", "targets")

    def __init__(self, *, pack: Callable[[], Packer] | None = None, fit: Fit = packing.split):
        self.packer = _packer(pack)
        self.fit = fit
        self.trims = () if fit is packing.split else self.task_features

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row, with weights."""
        dataset = mapped(with_features(dataset, self.task_features), _with_weights)
        dataset = dataset.filter(lambda example: tf.size(example["inputs"]) > 0)
        return self.fit(dataset, self.row_lengths(lengths))

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the inputs, for every feature of an example with weights."""
        length = needed(lengths, ("inputs",))["inputs"]
        return dict.fromkeys(("inputs", "targets", "loss_weights"), length)

    def convert(self, rows: Features) -> Features:
        """Returns the encoder's features, targets and weights."""
        return encoder(rows) | {
            "encoder_target_tokens": rows["targets"],
            "encoder_loss_weights": rows["loss_weights"],
        }

    def num_rows(self, example: Mapping[str, Any], lengths: Lengths) -> int:
        """Returns the number of parts that `fit` makes of the inputs."""
        return _num_parts(self.fit, len(example["inputs"]), lengths["inputs"])


def encoder(rows: Features) -> Features:
    """Returns the encoder's features of rows of inputs."""
    return {
        "encoder_input_tokens": rows["inputs"],
        "encoder_segment_ids": rows["inputs_segment_ids"],
        "encoder_positions": rows["inputs_positions"],
    }


def decoder(
    rows: Features, shift: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], start_token: int = 0
) -> Features:
    """Returns the decoder's features of rows of targets; inputs are the shifted targets."""
    segments, positions = rows["targets_segment_ids"], rows["targets_positions"]
    starts = (segments > 0) & tf.equal(positions, 0)
    shifted = shift(rows["targets"], segments)
    return {
        "decoder_input_tokens": tf.where(starts, start_token, shifted),
        "decoder_target_tokens": rows["targets"],
        "decoder_loss_weights": tf.cast(segments > 0, tf.float32),
        "decoder_segment_ids": segments,
        "decoder_positions": positions,
    }


def needed(lengths: Lengths, names: tuple[str, ...]) -> dict[str, int]:
    """Returns the lengths of these features.

    Raises:
        UserError: one is missing.
    """
    if missing := [name for name in names if name not in lengths]:
        raise UserError(
            f"TASK_FEATURE_LENGTHS = {dict(lengths)} gives no length for {missing[0]!r}"
        )
    return {name: int(lengths[name]) for name in names}


def with_features(dataset: tf.data.Dataset, names: tuple[str, ...]) -> tf.data.Dataset:
    """Returns the dataset after checking that its examples have these features.

    Raises:
        UserError: a feature is missing.
    """
    have = dataset.element_spec
    if missing := [name for name in names if name not in have]:
        raise UserError(
            f"the task has no feature {missing[0]!r}, which this converter needs; "
            f"it has {', '.join(sorted(have))}"
        )
    return dataset


def _packer(pack: Callable[[], Packer] | None) -> Packer:
    return packing.Pad() if pack is None else pack()


def _num_parts(fit: Fit, size: int, length: int) -> int:
    return -(-size // length) if fit is packing.split else min(size, 1)


def _join(example: Features) -> Features:
    """Joins inputs and targets; adds the loss weights and the mask of the prefix."""
    inputs, targets = example["inputs"], example["targets"]
    joined = tf.concat([inputs, targets], 0)
    position = tf.range(tf.size(joined))
    width = tf.size(inputs)
    return {
        "targets": joined,
        "loss_weights": tf.cast(position >= width, tf.int32),
        "prefix": tf.cast(position <= width, tf.int32),
    }


def _with_weights(example: Features) -> Features:
    ones = tf.ones_like(example["inputs"], tf.float32)
    weights = tf.cast(example.get("loss_weights", ones), tf.float32)
    return {"inputs": example["inputs"], "targets": example["targets"], "loss_weights": weights}
