"""`lm bench --against`: a peer with the same weights, in turn, and what we say without it."""

import itertools
import json
import sys

import numpy as np
import pytest

from lm import engines
from lm.bench import measure, peers
from lm.bench.synthetic import synthetic_batch
from lm.bench.twin_spec import twin_spec
from lm.cli.bench import MACROS, _objective
from lm.cli.main import main
from lm.config import load
from lm.optim import adamw

NARROW = ["HIDDEN_DIM=32", "VOCABULARY_SIZE=64"]
TINY = [*NARROW, "INTERMEDIATE_DIM=64", "NUM_HEADS=2"]
BINDINGS = {
    "gpt2": [*TINY, "NUM_LAYERS=2"],
    "t5_1_1": [*TINY, "NUM_LAYERS=2"],
    # Without jitter, so that both losses can be the same.
    "switch": [*TINY, "NUM_LAYERS=1", "NUM_EXPERTS=4", "JITTER=0.0", "MIN_CAPACITY=1"],
    "funnel": [*TINY, "BLOCK_SIZES=[1,1,1]", "NUM_DECODER_LAYERS=1"],
    "bert": [*TINY, "NUM_LAYERS=2", "MAX_SEQUENCE_LENGTH=16"],
    "xlnet": [*TINY, "NUM_LAYERS=2"],
    "electra": [
        *TINY,
        "NUM_LAYERS=2",
        "MAX_SEQUENCE_LENGTH=16",
        "EMBEDDING_DIM=16",
        "MAX_PREDICTIONS=3",
    ],
    "lstm_lm": [*NARROW, "NUM_LAYERS=2"],
}
SAMPLED = {"electra": 1e-2}  # Each draws samples of its own.
SCORED = {**SAMPLED, "switch": 1e-3}  # Without capacity here, which is a departure of ours.
SIZES = ["--batch_size=2", "--length=16", "--new_tokens=4", "--windows=1", "--json"]


def flags(name):
    bindings = (f"--gin.{binding}" for binding in BINDINGS[name])
    return [f"--gin_file=bench/{name}.gin", *bindings, *SIZES]


def objective_of(name):
    return _objective(load([f"bench/{name}.gin"], BINDINGS[name], roots=MACROS))


class Twin:
    """A peer that repeats what we found, and says what it was told."""

    def __init__(self):
        self.spec = None

    def generation(self, spec, prompts, *, new_tokens, beams):
        return {"float32": lambda: np.full((2, new_tokens), beams, "int32")}

    def scoring(self, spec, batch):
        return {"eager": lambda: 2.5}

    def training(self, spec, batch):
        self.spec = spec
        return dict.fromkeys(["eager", "compiled"], lambda: 2.5)


@pytest.mark.parametrize(
    ("name", "model_type", "norm", "numbers"),
    [
        ("gpt2", "gpt2", "transformer.h.1.ln_2.weight", {"num_layers": 2, "num_heads": 2}),
        ("t5_1_1", "t5_1_1", "decoder.block.1.layer.2.layer_norm.weight", {"num_layers": 2}),
        pytest.param(
            "switch",
            "switch",
            "decoder.block.1.layer.2.layer_norm.weight",
            {"num_layers": 2, "num_experts": 4, "capacity": {"encoder": 5, "decoder": 5}},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "funnel",
            "funnel_masked",
            "lm_head.transform.LayerNorm.weight",
            {"block_sizes": [1, 1, 1], "block_repeats": [1, 1, 1], "num_decoder_layers": 1},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_peer_is_told_sizes_and_weights(monkeypatch, capsys, name, model_type, norm, numbers):
    twin = Twin()
    monkeypatch.setattr(peers, "load", lambda against: twin)
    monkeypatch.setattr(peers, "PAUSE", 0.0)
    assert main(["bench", *flags(name), "--against=transformers"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model_type"] == model_type == twin.spec.model_type
    assert numbers.items() <= twin.spec.hyperparameters.items()
    assert twin.spec.weights[norm].shape == (32,)
    assert found["parameters"] == sum(w.size for w in twin.spec.weights.values())
    assert set(found["training"]["ratios"]) == {"eager", "compiled"}
    assert found["training"]["first_loss"]["eager"] == 2.5
    assert 3 < found["training"]["first_loss"]["ours"] < 12
    assert set(found["scoring"]["ratios"]) == {"eager"}
    # A Funnel writes no text.
    assert ("generation" in found) == (name != "funnel")


@pytest.mark.parametrize(
    ("name", "model_type", "tensors", "numbers"),
    [
        (
            "bert",
            "bert_masked",
            {"cls.predictions.transform.LayerNorm.weight": (32,)},
            {"num_heads": 2, "num_layers": 2},
        ),
        (
            "xlnet",
            "xlnet_permutation",
            {"transformer.layer.1.rel_attn.q": (32, 2, 16)},
            {"num_heads": 2, "num_layers": 2},
        ),
        (
            "electra",
            "electra",
            {
                "discriminator.electra.embeddings.word_embeddings.weight": (64, 16),
                "discriminator.electra.encoder.layer.1.output.dense.weight": (32, 64),
                "generator.electra.encoder.layer.1.output.dense.weight": (8, 16),
            },
            {"num_heads": 2, "generator_heads": 1, "max_predictions": 3},
        ),
        (
            "lstm_lm",
            "lstm",
            {"lstm.weight_hh_l1": (128, 32)},
            {"num_layers": 2, "forget_bias": 0.0},
        ),
    ],
)
def test_encoders_and_recurrent_models_have_names_in_torch(name, model_type, tensors, numbers):
    objective = objective_of(name)
    batch = synthetic_batch(objective, rows=1, inputs=8, targets=8)
    objective(batch)
    spec = twin_spec(objective, batch)
    assert spec.model_type == model_type
    assert tensors == {tensor: spec.weights[tensor].shape for tensor in tensors}
    assert numbers.items() <= spec.hyperparameters.items()


def test_windows_alternate_and_the_ratio_is_of_medians(monkeypatch):
    order, told = [], []
    clock = iter([0, 5, 5, 6, 6, 7, 7, 11, 11, 12, 12, 16])
    monkeypatch.setattr(peers.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    calls = {name: lambda name=name: order.append(name) for name in ("ours", "theirs")}
    speeds = peers.alternate(calls, tokens=8, windows=2, report=told.append)
    assert order == ["ours", "theirs"] * 3
    found = peers._ratios(speeds, 8)
    assert found["ratios"] == {"theirs": 4.0}
    assert found["compile_seconds"] == {"ours": 4.0, "theirs": 0.0}
    assert told[1] == "ours: first window 5.0 s, with compiling"
    assert told[-1] == "window 2 of 2, tokens/s: ours 8, theirs 2"


def test_a_missing_extra_is_one_line(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "lm.bench.against_ctranslate2", raising=False)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["bench", *flags("gpt2"), "--against=ctranslate2"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "extra `parity`" in error


def test_work_that_a_peer_or_the_model_lacks_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(peers, "load", lambda against: Twin())
    assert main(["bench", *flags("bert"), "--against=transformers", "--only=generation"]) == 1
    assert "measures scoring, training of this model, not generation" in capsys.readouterr().err


@pytest.mark.parity
@pytest.mark.parametrize(
    ("against", "name"),
    [
        *itertools.product(["transformers", "ctranslate2"], ["gpt2", "t5_1_1"]),
        ("transformers", "lstm_lm"),
    ],
)
def test_a_peer_with_the_same_weights_writes_the_same(capsys, name, against):
    assert main(["bench", *flags(name), f"--against={against}", "--only=generation"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["generation"]["same_tokens"]["float32"] == 1.0


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # by torch.compile itself
@pytest.mark.parametrize("name", BINDINGS)
def test_a_twin_has_our_loss_and_trains(name):
    torch_side = pytest.importorskip("lm.bench.against_transformers", reason="extra `parity`")
    objective = objective_of(name)
    batch = synthetic_batch(objective, rows=2, inputs=16, targets=16)
    engine = engines.get()(objective=objective, optimizer=adamw(learning_rate=1e-4), features=batch)
    spec = twin_spec(objective, batch)
    found = peers._mean(next(engine.evaluations([batch]))["loss"])
    scored = peers._loss(torch_side.scoring(spec, batch)["eager"]())
    assert scored == pytest.approx(found, rel=SCORED.get(name, 1e-5))
    step = torch_side.training(spec, batch)["eager"]
    ours, theirs = peers._loss(engine.step(batch)), peers._loss(step())
    # Where a stack has one sparse layer the losses of the routers are the same, too.
    assert theirs == pytest.approx(ours, rel=SAMPLED.get(name, 1e-5))
    assert peers._loss(step()) < theirs
