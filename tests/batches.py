"""Tiny batches of the features that the models read, packed and padded as a test asks.

An example is a pair (inputs, targets) of token lists; a row of a batch is a list of examples.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lm.models.decoder_only import DecoderOnly
from lm.models.encoder import Encoder
from lm.models.encoder_decoder import EncoderDecoder
from lm.models.funnel import Funnel
from lm.models.xlnet import XLNet

Example = tuple[list[int], list[int]]
Row = Sequence[Example]
Batch = dict[str, np.ndarray]


def example(seed: int, inputs: int, targets: int, vocabulary_size: int) -> Example:
    """Returns random tokens, two lists of the given lengths."""
    noise = np.random.default_rng(seed)
    draw = noise.integers(1, vocabulary_size, inputs + targets).tolist()
    return draw[:inputs], draw[inputs:]


def decoder_only(rows: Sequence[Row], length: int) -> Batch:
    return _side("decoder", [[targets for _, targets in row] for row in rows], length, shift=1)


def encoder(rows: Sequence[Row], length: int) -> Batch:
    return _side("encoder", [[targets for _, targets in row] for row in rows], length, shift=0)


def encoder_decoder(rows: Sequence[Row], length: int) -> Batch:
    inputs = _side("encoder", [[inputs for inputs, _ in row] for row in rows], length, shift=0)
    kept = ("encoder_input_tokens", "encoder_segment_ids", "encoder_positions")
    return {name: inputs[name] for name in kept} | decoder_only(rows, length)


def xlnet(rows: Sequence[Row], length: int) -> Batch:
    """Every token is predicted: by the model alone from all others, in an order from the left."""
    made = encoder(rows, length)
    positions = np.tile(np.arange(length, dtype="int32"), (len(rows), 1))
    return made | {
        "encoder_token_types": made["encoder_positions"] % 2,
        "encoder_predicted_positions": positions,
        "encoder_ranks": positions,
    }


MAKERS: dict[type, Callable[[Sequence[Row], int], Batch]] = {
    DecoderOnly: decoder_only,
    Encoder: encoder,
    Funnel: encoder,
    XLNet: xlnet,
    EncoderDecoder: encoder_decoder,
}


def batch(model: object, rows: Sequence[Row], length: int) -> Batch:
    """Returns the features of rows for a model, each side padded to `length`."""
    return MAKERS[type(model)](rows, length)


def output_side(features: Batch) -> str:
    """Returns the side that the outputs stand on."""
    return "decoder" if "decoder_target_tokens" in features else "encoder"


def _side(side: str, rows: Sequence[Sequence[list[int]]], length: int, shift: int) -> Batch:
    """Returns the five features of one side; `shift` tokens 0 precede every input."""
    names = ("input_tokens", "target_tokens", "segment_ids", "positions")
    arrays = {name: np.zeros((len(rows), length), "int32") for name in names}
    for i, row in enumerate(rows):
        start = 0
        for segment, tokens in enumerate(row, 1):
            place = slice(start, start + len(tokens))
            arrays["input_tokens"][i, place] = ([0] * shift + tokens)[: len(tokens)]
            arrays["target_tokens"][i, place] = tokens
            arrays["segment_ids"][i, place] = segment
            arrays["positions"][i, place] = np.arange(len(tokens))
            start = place.stop
    weights = (arrays["segment_ids"] > 0).astype("float32")
    return {f"{side}_{name}": a for name, a in arrays.items()} | {f"{side}_loss_weights": weights}
