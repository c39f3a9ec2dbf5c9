"""Feature converters of question answering: the span of an answer, or multiple choice."""

import numpy as np
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.rows import packing, text_windows
from lm.data.rows.classification import (
    Decode,
    Example,
    input_lengths,
    label_of,
    labelled,
    most_probable,
    side_features,
    vector,
)
from lm.data.rows.converter import one_row
from lm.data.rows.features import needed, with_features
from lm.data.rows.packing import Features, Lengths
from lm.parts import part
from lm.ranges import PositiveInt


@part
class Spans:
    """Rows with first and last position of an answer, the task's `start` and `end`, both inclusive.

    The inputs are question and text. Without an answer both are 0 or -1; position 0, BERT's [CLS],
    stands for "no answer". A text too long for a row is split into overlapping windows, one per row
    (`lm.data.rows.text_windows`); a window that does not contain the answer has none.

    The predicted span maximizes over all windows the score relative to no answer,

        log p(start) + log p(end) - 2·log p(0),

    with p of its window; no answer is predicted if this is τ or less.

    Args:
        max_answer_length: longest predicted answer, in tokens.
        null_threshold: τ, in nats; larger values give fewer answers.
        stride: tokens from the start of a window to that of the next.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), sections 4.2 and 4.3.
    Departures: the release compares the span's logits with those of no answer in another window,
    the one where they are smallest, although logits of different windows have no common scale.
    """

    task_features = ("inputs", "start", "end")
    trims = ()

    def __init__(
        self,
        *,
        max_answer_length: PositiveInt = 30,
        null_threshold: float = 0.0,
        stride: PositiveInt = 128,
    ):
        self.packer = packing.Pad()
        self.max_answer_length = max_answer_length
        self.null_threshold = null_threshold
        self.stride = stride

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns the windows of the examples, each of which fits a row."""
        width = needed(lengths, ("inputs",))["inputs"]

        def split(example: Features) -> Features:
            types = example.get("token_types", tf.zeros_like(example["inputs"]))
            span = tf.concat([vector(example["start"]), vector(example["end"])], 0)  # [2]
            row = {"inputs": example["inputs"], "token_types": types, "span": span}
            return text_windows.split(row, text_windows.windows(types, width, self.stride))

        return mapped(with_features(dataset, self.task_features), split).unbatch()

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the inputs and their types, and the 2 ends of a span."""
        return input_lengths(lengths) | {"span": 2}

    def convert(self, rows: Features) -> Features:
        """Returns the encoder's features, and start and end as labels."""
        return side_features(rows, "encoder") | labelled(rows["span"], rows["span_segment_ids"])

    def num_rows(self, example: Example, lengths: Lengths) -> int:
        """Returns the number of windows."""
        return len(self.windows(example, needed(lengths, ("inputs",))["inputs"]).starts)

    def windows(self, example: Example, width: int) -> text_windows.Windows:
        """Returns the windows of an example."""
        types = example.get("token_types", np.zeros_like(example["inputs"]))
        return text_windows.windows(tf.constant(types), width, self.stride)

    def target(self, example: Example, decode: Decode) -> str:
        """Returns the text of the answer, "" for none."""
        return _span_text(example, (int(example["start"]), int(example["end"])), decode)

    def prediction(self, example: Example, probabilities: np.ndarray, decode: Decode) -> str:
        """Returns the text of the best span, "" for none; probabilities [2·W, T]."""
        return _span_text(example, self.span(example, probabilities), decode)

    def span(self, example: Example, probabilities: np.ndarray) -> tuple[int, int]:
        """Returns the best span of all windows, as positions in the inputs; (0, 0) for none."""
        width = probabilities.shape[-1]
        prefix, starts, ends = (x.numpy() for x in self.windows(example, width))
        log_p = np.log(np.maximum(probabilities, 1e-30)).reshape(-1, 2, width)  # [W, 2, T]
        start, end = np.moveaxis(log_p - log_p[..., :1], 1, 0)  # [W, T] each
        score = start[:, :, None] + end[:, None]  # [W, start, end]
        position = np.arange(width)
        in_text = (position >= prefix) & (position < prefix + (ends - starts)[:, None])  # [W, T]
        size = position - position[:, None]  # [start, end], less one
        is_span = (size >= 0) & (size < self.max_answer_length)
        allowed = is_span & in_text[:, :, None] & in_text[:, None]
        best = np.where(allowed, score, -np.inf)
        window, first, last = np.unravel_index(best.argmax(), best.shape)
        if best[window, first, last] <= self.null_threshold:
            return 0, 0
        return int(first + starts[window]), int(last + starts[window])


@part
class MultipleChoice:
    """Rows of several choices, each with its own inputs; `label` is the index of the right one.

    The task's `inputs` are those of all choices, concatenated, and `choice_lengths` their numbers
    of tokens. The model's features are [C, T], T = `lengths["inputs"]` of one choice.

    Args:
        num_choices: maximum number of choices C; examples may have fewer. Of more, the first C are
            used; an example whose right choice is not among them has no label.

    Source: Radford et al. 2018 ("Improving Language Understanding by Generative Pre-Training"),
    section 3.3.
    """

    task_features = ("inputs", "choice_lengths", "label")
    trims = ()

    def __init__(self, *, num_choices: PositiveInt):
        self.packer = packing.Pad()
        self.num_choices = num_choices

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples with all choices padded to [C·T]."""
        shape = [self.num_choices, needed(lengths, ("inputs",))["inputs"]]

        def prepared(example: Features) -> Features:
            sizes, inputs = example["choice_lengths"], example["inputs"]
            types = example.get("token_types", tf.zeros_like(inputs))
            parts = {"inputs": inputs, "token_types": types, "segments": tf.ones_like(inputs)}
            found = {
                name: tf.RaggedTensor.from_row_lengths(value, sizes).to_tensor(shape=shape)
                for name, value in parts.items()
            }
            rows = {name: tf.reshape(value, [-1]) for name, value in found.items()}
            label = vector(example["label"])
            return rows | {"label": tf.where(label < self.num_choices, label, -1)}

        return mapped(with_features(dataset, self.task_features), prepared)

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of all choices together, and 1 label."""
        found = input_lengths(lengths)
        sizes = dict.fromkeys((*found, "segments"), self.num_choices * found["inputs"])
        return sizes | {"label": 1}

    def convert(self, rows: Features) -> Features:
        """Returns the encoder's features [B, C, T] and the label."""
        width = rows["inputs"].shape[-1] // self.num_choices
        shape = [-1, self.num_choices, width]
        segments = tf.reshape(rows["segments"], shape)
        return {
            "encoder_input_tokens": tf.reshape(rows["inputs"], shape),
            "encoder_segment_ids": segments,
            "encoder_positions": segments * tf.range(width),
            "encoder_token_types": tf.reshape(rows["token_types"], shape),
        } | labelled(rows["label"], rows["label_segment_ids"])

    num_rows = one_row
    target = label_of
    prediction = most_probable


def _span_text(example: Example, span: tuple[int, int], decode: Decode) -> str:
    """Returns the text of a span, "" for no answer."""
    first, last = span
    return decode([int(i) for i in example["inputs"][first : last + 1]]) if last > 0 else ""
