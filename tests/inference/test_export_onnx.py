"""`lm export --format=onnx`: graphs in ONNX Runtime make what the run makes."""

import importlib.util
import json

import keras
import numpy as np
import pytest

import lm
from lm.cli.main import main
from tests import batches, built, tiny_run
from tests.cases import VOCABULARY_SIZE
from tests.catalogue import MODELS

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="traced by TensorFlow"),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("onnx", "onnxruntime", "tf2onnx"))),
        reason="needs the extra `onnx`",
    ),
]
NEW_TOKENS, PROMPT_LENGTH = 6, 12
NOISE = np.random.default_rng(0)
PROMPTS = ["".join(NOISE.choice(list("abc "), NOISE.integers(1, 11))) for _ in range(64)]


def export(run, target, *flags):
    shapes = f"--max_prompt_length={PROMPT_LENGTH}", f"--max_new_tokens={NEW_TOKENS}"
    arguments = [f"--workdir={run}", f"--to={target}", "--format=onnx", *shapes, *flags]
    return main(["export", *arguments])


ANSWERS = pytest.param("answers", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["continues", ANSWERS])
def exported(request, tmp_path_factory):
    """A run, and the folder of its graphs."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "run").mkdir()
    run = tiny_run.make(request.param, folder / "run")
    assert export(run, folder / "onnx") == 0
    return run, folder / "onnx"


def greedy(folder, features):
    """Writes greedily by the graphs alone."""
    from onnxruntime import InferenceSession

    start, step = (InferenceSession(folder / f"{name}.onnx") for name in ("start", "step"))
    token, *state = start.run(None, features)
    names, tokens = [value.name for value in step.get_inputs()], []
    every = [value.name for value in start.get_outputs()]
    for _ in range(NEW_TOKENS):
        given = dict(zip(every, [token, *state], strict=True))
        logits, *state = step.run(None, {name: given[name] for name in names})
        token = logits.argmax(-1).astype("int32")
        tokens.append(int(token[0]))
    return tokens


def test_greedy_tokens_are_those_of_lm_generate(exported):
    run, folder = exported
    loaded = lm.load(run)
    ours = loaded.generate(PROMPTS, max_new_tokens=NEW_TOKENS, temperature=0.0)
    pack = loaded.trained.input_format.pack_prompts
    for prompt, (best,) in zip(PROMPTS, ours.candidates, strict=True):
        features = pack([loaded.trained.prompt_ids(prompt)], PROMPT_LENGTH)
        assert greedy(folder, features)[: len(best.tokens)] == best.tokens, prompt


def test_the_folder_says_what_its_graphs_take(exported):
    _, folder = exported
    found = json.loads((folder / "onnx.json").read_text())
    assert (found["step"], found["start_token"], found["eos_token"]) == (tiny_run.STEP, 0, 1)
    assert found["graphs"].keys() == {"score", "start", "step"}
    assert found["graphs"]["step"]["outputs"]["logits"] == [[1, 259], "tensor(float)"]
    assert found["graphs"]["score"]["outputs"]["log_likelihood"] == [[1], "tensor(float)"]
    assert (folder / "tokenizer.json").is_file()
    assert not (folder / "onnx.json").read_text().count("tensor(double)")


@pytest.mark.slow
def test_int8_says_what_it_does_to_the_perplexity(exported, tmp_path, capsys):
    run, whole = exported
    assert export(run, tmp_path / "int8", "--dtype=int8") == 0
    assert "perplexity of validation rows" in capsys.readouterr().out
    assert not (tmp_path / "int8" / "weights.safetensors").exists()
    assert json.loads((tmp_path / "int8" / "onnx.json").read_text())["dtype"] == "int8"
    graphs = [(folder / "step.onnx").read_bytes() for folder in (whole, tmp_path / "int8")]
    assert [b"MatMulInteger" in graph for graph in graphs] == [False, True]


def test_a_dtype_of_the_other_format_is_refused(tmp_path, capsys):
    assert export(tmp_path, tmp_path / "onnx", "--dtype=bfloat16") != 0
    assert "--dtype=bfloat16: --format=onnx has float32, int8" in capsys.readouterr().err


def graphs(case):
    """Yields what a model of the catalogue has: its call, and `start` and `step` of a search."""
    from lm.inference.export_onnx import Graph, named, tensors

    model = built.model(case.name)
    rows = [[batches.example(i, 5 + i, 8 - 3 * i, VOCABULARY_SIZE)] for i in range(2)]
    features = batches.batch(model, rows, 8)
    yield model, Graph(lambda x: {"outputs": model(x, training=False)}, features)
    if "steps" in case.lacks:
        return
    token, state = model.start(tensors(features), 20)
    begun = {"token": token, **named(state, "state")}

    def start(x):
        first, after = model.start(x, 20)
        return {"token": first, **named(after, "state")}

    def step(x):
        first, *parts = x.values()
        logits, after = model.step(first, keras.tree.pack_sequence_as(state, parts))
        return {"logits": logits, **named(after, "next")}

    yield model, Graph(start, features)
    yield model, Graph(step, {name: np.asarray(x) for name, x in begun.items()})


@pytest.mark.slow
@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_every_family_has_the_same_outputs(case, tmp_path):
    from lm.checkpoint.variable_names import model_weights
    from lm.engines.onnx_graph import Stored, graph_of
    from lm.engines.onnx_session import Session
    from lm.inference.export_onnx import BOUND, difference
    from lm.tensor_file import entries, write_file

    for model, graph in graphs(case):
        variables = model_weights(model)
        write_file(tmp_path / "w", {n: np.asarray(v.value) for n, v in variables.items()})
        stored = {n: Stored("w", e.first, e.size) for n, e in entries(tmp_path / "w").items()}
        made = graph_of(graph.function, graph.inputs, variables, stored)
        (tmp_path / "graph.onnx").write_bytes(made.SerializeToString())
        assert difference(graph, Session(tmp_path / "graph.onnx")) <= BOUND
