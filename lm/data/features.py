"""Feature converters: from a task's features to a model's, under SeqIO's names.

A converter is called with a dataset of task examples and their lengths and returns a dataset of
rows of fixed shape. Segment ids (1, 2, … for the examples in a row, 0 for padding) and positions
are always there, packed or not. They, not the token 0, tell what is padding.

A row of the encoder-decoder converter, two examples packed
({inputs: 7 8 5 1, targets: 3 9 1} and {inputs: 8 4 1, targets: 5 1}):

    encoder_input_tokens   7 8 5 1 8 4 1 0     decoder_target_tokens  3 9 1 5 1 0
    encoder_segment_ids    1 1 1 1 2 2 2 0     decoder_input_tokens   0 3 9 0 5 0
    encoder_positions      0 1 2 3 0 1 2 0     decoder_loss_weights   1 1 1 1 1 0
                                               decoder_segment_ids    1 1 1 2 2 0
                                               decoder_positions      0 1 2 0 1 0
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import tensorflow as tf

from lm.data import packing
from lm.data.mapping import mapped
from lm.data.packing import RowMaker
from lm.errors import UserError
from lm.parts import part

Lengths = Mapping[str, int]
Features = dict[str, tf.Tensor]
Fit = Callable[[tf.data.Dataset, Lengths], tf.data.Dataset]


class Converter(Protocol):
    """What a pipeline asks of a feature converter.

    Attributes:
        task_features: the features that it needs.
        trims: those that it cuts to their length.
    """

    task_features: tuple[str, ...]
    trims: tuple[str, ...]

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit their rows; here they may still be shuffled."""

    def assemble(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns rows of the model's features from prepared examples."""

    def __call__(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Does both."""

    def pieces(self, sizes: Mapping[str, int], lengths: Lengths) -> int:
        """Returns how many rows an example with so many tokens becomes, if they are not packed."""


@part
class LanguageModel:
    """Rows for a decoder that predicts `targets` from left to right.

    Args:
        pack: factory of a packer, e.g. `packing.FirstFit`; None puts one example in a row.
        fit: what to do with examples longer than the row: `packing.split` keeps all tokens,
            `packing.trim` cuts.

    Example:
        >>> dataset = tf.data.Dataset.from_tensors({"targets": [3, 9, 1]})
        >>> row = next(LanguageModel()(dataset, {"targets": 5}).as_numpy_iterator())
        >>> for name in ("decoder_input_tokens", "decoder_target_tokens", "decoder_segment_ids"):
        ...     print(name, row[name].tolist())
        decoder_input_tokens [0, 3, 9, 1, 0]
        decoder_target_tokens [3, 9, 1, 0, 0]
        decoder_segment_ids [1, 1, 1, 0, 0]
    """

    task_features = ("targets",)

    def __init__(self, *, pack: Callable[[], RowMaker] | None = None, fit: Fit = packing.split):
        self.maker: RowMaker = packing.Pad() if pack is None else pack()
        self.fit = fit
        self.trims = () if fit is packing.split else self.task_features

    def __call__(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns rows of `lengths["targets"]` positions."""
        return self.assemble(self.prepare(dataset, lengths), lengths)

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row; empty ones are left out."""
        lengths = needed(lengths, self.task_features)
        dataset = with_features(dataset, self.task_features)
        dataset = dataset.filter(lambda example: tf.size(example["targets"]) > 0)
        return self.fit(dataset, lengths)

    def assemble(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns rows of prepared examples."""
        lengths = needed(lengths, self.task_features)
        groups = packing.row_groups(dataset, lengths, self.maker)
        return _rows(groups, lambda rows: decoder(rows, self.maker.shift))

    def pieces(self, sizes: Mapping[str, int], lengths: Lengths) -> int:
        """Returns how many rows an example with so many tokens becomes, if they are not packed."""
        return _unpacked(self.maker, _pieces(self.fit, sizes["targets"], lengths["targets"]))


@part
class PrefixLanguageModel:
    """Rows for a decoder that reads `inputs` as a whole and predicts `targets` after them.

    Inputs and targets stand one after the other in a row of the sum of their lengths. The loss
    covers the targets. Longer examples are trimmed to the lengths; the pipeline says how many.
    `decoder_causal_attention` is 1 at the prefix and at the place that
    predicts the first target, whose input is the prefix's last token.

    Args:
        pack: factory of a packer, e.g. `packing.FirstFit`; None puts one example in a row.
    """

    task_features = ("inputs", "targets")
    trims = task_features

    def __init__(self, *, pack: Callable[[], RowMaker] | None = None):
        self.maker: RowMaker = packing.Pad() if pack is None else pack()

    def __call__(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns rows of `lengths["inputs"] + lengths["targets"]` positions."""
        return self.assemble(self.prepare(dataset, lengths), lengths)

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples trimmed and joined."""
        lengths = needed(lengths, self.task_features)
        dataset = with_features(dataset, self.task_features)
        return mapped(packing.trim(dataset, lengths), _join)

    def assemble(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns rows of prepared examples."""
        length = sum(needed(lengths, self.task_features).values())
        joined = dict.fromkeys(("targets", "loss_weights", "prefix"), length)

        def convert(rows: Features) -> Features:
            weights = {"decoder_loss_weights": tf.cast(rows["loss_weights"], tf.float32)}
            prefix = {"decoder_causal_attention": rows["prefix"]}
            return decoder(rows, self.maker.shift) | weights | prefix

        return _rows(packing.row_groups(dataset, joined, self.maker), convert)

    def pieces(self, sizes: Mapping[str, int], lengths: Lengths) -> int:
        """Returns 1: an example is one row, if rows are not packed."""
        del sizes, lengths
        return _unpacked(self.maker, 1)


@part
class EncoderDecoder:
    """Rows for an encoder that reads `inputs` and a decoder that predicts `targets`.

    Longer examples are trimmed to the lengths; the pipeline says how many.

    Args:
        pack: factory of a packer, e.g. `packing.FirstFit`; None puts one example in a row.
    """

    task_features = ("inputs", "targets")
    trims = task_features

    def __init__(self, *, pack: Callable[[], RowMaker] | None = None):
        self.maker: RowMaker = packing.Pad() if pack is None else pack()

    def __call__(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns rows of `lengths["inputs"]` and `lengths["targets"]` positions."""
        return self.assemble(self.prepare(dataset, lengths), lengths)

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples trimmed to the lengths."""
        lengths = needed(lengths, self.task_features)
        return packing.trim(with_features(dataset, self.task_features), lengths)

    def assemble(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns rows of prepared examples."""
        lengths = needed(lengths, self.task_features)
        groups = packing.row_groups(dataset, lengths, self.maker)
        return _rows(groups, lambda rows: encoder(rows) | decoder(rows, self.maker.shift))

    def pieces(self, sizes: Mapping[str, int], lengths: Lengths) -> int:
        """Returns 1: an example is one row, if rows are not packed."""
        del sizes, lengths
        return _unpacked(self.maker, 1)


@part
class Encoder:
    """Rows for an encoder that predicts one target per input token.

    `targets` and `inputs` have the same length. An optional feature `loss_weights`, as long,
    says where the loss falls; without it, on every token. Masked language modelling makes all
    three from a text (`lm.data.denoising.mask_tokens`).

    Args:
        pack: factory of a packer, e.g. `packing.FirstFit`; None puts one example in a row.
        fit: what to do with examples longer than the row, `packing.split` or `packing.trim`.
    """

    task_features = ("inputs", "targets")

    def __init__(self, *, pack: Callable[[], RowMaker] | None = None, fit: Fit = packing.split):
        self.maker: RowMaker = packing.Pad() if pack is None else pack()
        self.fit = fit
        self.trims = () if fit is packing.split else self.task_features

    def __call__(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns rows of `lengths["inputs"]` positions."""
        return self.assemble(self.prepare(dataset, lengths), lengths)

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row, with weights; empty ones are left out."""
        dataset = mapped(with_features(dataset, self.task_features), _with_weights)
        dataset = dataset.filter(lambda example: tf.size(example["inputs"]) > 0)
        return self.fit(dataset, _each(lengths))

    def assemble(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns rows of prepared examples."""

        def convert(rows: Features) -> Features:
            targets = {"encoder_target_tokens": rows["targets"]}
            return encoder(rows) | targets | {"encoder_loss_weights": rows["loss_weights"]}

        return _rows(packing.row_groups(dataset, _each(lengths), self.maker), convert)

    def pieces(self, sizes: Mapping[str, int], lengths: Lengths) -> int:
        """Returns how many rows an example with so many tokens becomes, if they are not packed."""
        return _unpacked(self.maker, _pieces(self.fit, sizes["inputs"], lengths["inputs"]))


def encoder(rows: Features) -> Features:
    """Returns the encoder's features of rows of inputs."""
    return {
        "encoder_input_tokens": rows["inputs"],
        "encoder_segment_ids": rows["inputs_segment_ids"],
        "encoder_positions": rows["inputs_positions"],
    }


def decoder(rows: Features, shift: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Features:
    """Returns the decoder's features of rows of targets; it starts each example with token 0."""
    segments = rows["targets_segment_ids"]
    return {
        "decoder_input_tokens": shift(rows["targets"], segments),
        "decoder_target_tokens": rows["targets"],
        "decoder_loss_weights": tf.cast(segments > 0, tf.float32),
        "decoder_segment_ids": segments,
        "decoder_positions": rows["targets_positions"],
    }


def needed(lengths: Lengths, names: tuple[str, ...]) -> dict[str, int]:
    """Returns the lengths of these features.

    Raises:
        UserError: if one is missing.
    """
    if missing := [name for name in names if name not in lengths]:
        raise UserError(
            f"TASK_FEATURE_LENGTHS = {dict(lengths)} gives no length for {missing[0]!r}"
        )
    return {name: int(lengths[name]) for name in names}


def with_features(dataset: tf.data.Dataset, names: tuple[str, ...]) -> tf.data.Dataset:
    """Returns the dataset if its examples have these features.

    Raises:
        UserError: naming the first that is missing and those that are there.
    """
    have = dataset.element_spec
    if missing := [name for name in names if name not in have]:
        raise UserError(
            f"the task has no feature {missing[0]!r}, which this converter needs; "
            f"it has {', '.join(sorted(have))}"
        )
    return dataset


def _rows(groups: tf.data.Dataset, convert: Callable[[Features], Features]) -> tf.data.Dataset:
    return mapped(groups, convert).unbatch()


def _each(lengths: Lengths) -> Lengths:
    """Returns one length for all that stands at an encoder's input tokens."""
    length = needed(lengths, ("inputs",))["inputs"]
    return dict.fromkeys(("inputs", "targets", "loss_weights"), length)


def _unpacked(maker: RowMaker, pieces: int) -> int:
    if not isinstance(maker, packing.Pad):
        raise UserError("rows are packed and belong to no single example; set pack = None")
    return pieces


def _pieces(fit: Fit, size: int, length: int) -> int:
    return -(-size // length) if fit is packing.split else min(size, 1)


def _join(example: Features) -> Features:
    """Puts inputs and targets one after the other, with the weights and the prefix's mark."""
    inputs, targets = example["inputs"], example["targets"]
    joined = tf.concat([inputs, targets], 0)
    place = tf.range(tf.size(joined))
    width = tf.size(inputs)
    return {
        "targets": joined,
        "loss_weights": tf.cast(place >= width, tf.int32),
        "prefix": tf.cast(place <= width, tf.int32),
    }


def _with_weights(example: Features) -> Features:
    ones = tf.ones_like(example["inputs"], tf.float32)
    weights = tf.cast(example.get("loss_weights", ones), tf.float32)
    return {"inputs": example["inputs"], "targets": example["targets"], "loss_weights": weights}
