"""Entries of the catalogue that read a row position by position."""

from typing import Any

from lm.nn import (
    bahdanau,
    cells,
    enas_cell,
    heads,
    hyper_cells,
    input_feeding,
    luong,
    masks,
    nas_cell,
    norm,
    parallel,
    recurrent,
    recurrent_dropout,
    sru,
    stack,
)
from lm.objectives.auxiliary import Auxiliary, after
from lm.objectives.linear_gain import LinearGain
from tests.cases import WHOLE, Case, family, part

OWN_ROW = ("shortened",)
LUONG_LAYERS = "[@decoder/parallel.Parallel, @decoder/parallel.Parallel, @luong.LuongAttention]"
RECURRENT = {"INTERMEDIATE_DIM": None, "NUM_HEADS": None}


def cell_branch(cell: Any) -> Any:
    """A recurrent branch."""
    return part(recurrent.Recurrent, cell=cell)


MIN_GRU = cell_branch(part(cells.MinGRU))
MORE_CELLS = [
    part(sru.SRU),
    part(enas_cell.ENASCell, nodes=[(0, "tanh"), (1, "relu")]),
    part(recurrent_dropout.Zoneout, cell=part(cells.LSTM), rates=[0.1, 0.3]),
    part(recurrent_dropout.RecurrentDropout, cell=part(cells.GRU), rate=0.3),
]
FEEDING = part(
    input_feeding.InputFeeding,
    cells=[part(cells.LSTM), part(cells.GRU)],
    attention=part(luong.LuongAttention, score=part(luong.DotScore)),
    dropout=0.3,
)
SEARCHING = part(bahdanau.BahdanauDecoder, cell=part(cells.GRU), score=part(luong.AdditiveScore))

RECURRENT_BRANCHES = [
    Case("lstm", part(recurrent.Recurrent, cell=part(cells.LSTM)), OWN_ROW, carry=WHOLE),
    Case("gru", part(recurrent.Recurrent, cell=part(cells.GRU)), OWN_ROW, carry=WHOLE),
    Case("min_gru", MIN_GRU, OWN_ROW, carry=WHOLE),
    Case(
        "layer_norm_lstm",
        part(recurrent.Recurrent, cell=part(hyper_cells.LayerNormLSTM)),
        OWN_ROW,
        carry=WHOLE,
    ),
    Case(
        "hyper_lstm",
        part(
            recurrent.Recurrent,
            cell=part(
                hyper_cells.HyperLSTM,
                hyper=part(hyper_cells.LayerNormLSTM),
                hyper_dim=6,
                norm=part(norm.LayerNorm),
            ),
        ),
        OWN_ROW,
        carry=WHOLE,
    ),
    Case("nas_cell", part(recurrent.Recurrent, cell=part(nas_cell.NASCell)), OWN_ROW, carry=WHOLE),
    Case(
        "more_cells",
        part(parallel.Parallel, branches=[cell_branch(one) for one in MORE_CELLS]),
        OWN_ROW,
        carry=WHOLE,
    ),
    Case("luong_dot", part(luong.LuongAttention, score=part(luong.DotScore)), OWN_ROW),
    Case("luong_general", part(luong.LuongAttention, score=part(luong.GeneralScore)), OWN_ROW),
    Case("luong_additive", part(luong.LuongAttention, score=part(luong.AdditiveScore)), OWN_ROW),
    Case("attending_decoders", part(parallel.Parallel, branches=[FEEDING, SEARCHING]), OWN_ROW),
]

RECURRENT_MODELS = [
    Case(
        "lstm_lm",
        family("lstm_lm/architecture.gin", **RECURRENT),
        carry=WHOLE,
    ),
    Case(
        "awd_lstm",
        family(
            "awd_lstm/architecture.gin",
            **RECURRENT | {"NUM_LAYERS": None},
            LAYERS="[@parallel.Parallel, @activation_penalty.ActivationPenalty]",
        ),
        carry=WHOLE,
    ),
    Case(
        "moe_lstm",
        family("moe_lstm/architecture.gin", NUM_LAYERS=None, NUM_HEADS=None, NUM_EXPERTS=6),
        carry=WHOLE,
    ),
    Case(
        "seq2seq_lstm",
        family("seq2seq_lstm/architecture.gin", **RECURRENT),
        lacks=("packed",),
    ),
    Case(
        "luong",
        family(
            "luong/architecture.gin",
            **RECURRENT | {"NUM_LAYERS": None},
            ENCODER_LAYERS="[@encoder/parallel.Parallel, @encoder/parallel.Parallel]",
            DECODER_LAYERS=LUONG_LAYERS,
        ),
        lacks=("packed",),
    ),
    Case(
        "bahdanau",
        family("bahdanau/architecture.gin", **RECURRENT | {"NUM_LAYERS": None}),
    ),
    Case(
        "gnmt",
        family(
            "gnmt/architecture.gin",
            **RECURRENT | {"NUM_LAYERS": None},
            ENCODER_LAYERS="[@both/parallel.Parallel, @residual.Residual]",
            DECODER_LAYERS="[@parallel.Parallel, @luong.LuongAttention, @residual.Residual]",
        ),
    ),
]


def recurrent_classifier(name: str) -> Any:
    """A recurrent model that labels."""
    del name
    files = "lstm_lm/architecture.gin", "lstm_lm/classifier.gin"
    return family(*files, **RECURRENT | {"NUM_LAYERS": 1, "SUMMARY": "@label_head.every"})()


WINDOWS_WRITTEN = part(
    Auxiliary,
    model=recurrent_classifier,
    objective=LinearGain,
    decoder=part(stack.Stack, num_layers=1, layers=[MIN_GRU], mask=masks.causal),
    head=part(heads.TiedLogits),
    window=after,
    length=3,
)

LONG_ROWS = [
    Case("linear_gain", part(LinearGain, model=recurrent_classifier)),
    Case("auxiliary", WINDOWS_WRITTEN),
]
