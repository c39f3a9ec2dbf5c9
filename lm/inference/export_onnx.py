"""A run as ONNX graphs: the function of `lm export --format=onnx`.

folder/score.onnx           what the model makes of rows, and how probable their targets are
       start.onnx           reads prompts: the first token to step with, and the state
       step.onnx            one more token: its logits, and the state after it
       weights.safetensors  the numbers of all three; in int8 each graph has its own
       onnx.json            inputs and outputs with their shapes, start and end token
       tokenizer.json       of the text, where the vocabulary has such a form

Shapes are fixed: a batch has so many rows of so many positions, shorter ones are padded on the
right, where segment ids are 0. Of a run that carries from row to row, rows are read alone.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from lm import disk
from lm.checkpoint import store
from lm.checkpoint.variable_names import model_weights
from lm.data.batching.evaluation_batches import evaluation_batches, task_names
from lm.data.rows.converter import row_shapes
from lm.data.tokenizer_conversion import TEMPLATES, write_tokenizer
from lm.decode.sampling import capacity
from lm.engines.onnx_graph import Stored, graph_of
from lm.engines.onnx_session import Session, quantized
from lm.errors import ConfigError, UserError
from lm.inference.run import DTYPE_POLICY, Run, load
from lm.inference.trained import Trained
from lm.likelihood import perplexity
from lm.tensor_file import entries, write_file
from lm.types import Batch, Tensor, Tree

WEIGHTS, DESCRIPTION = "weights.safetensors", "onnx.json"
BOUND = 1e-5  # relative to the largest output, or 1: the same program on the same numbers
SUMS = ("log_likelihood", "correct", "weight")
_MEASURED_EXAMPLES = 256


class Shapes(NamedTuple):
    """For which shapes the graphs are.

    Attributes:
        rows: of a batch.
        prompt: positions of a prompt, a decoder's start token included.
        new_tokens: how many a search may write.
    """

    rows: int
    prompt: int
    new_tokens: int


class Graph(NamedTuple):
    """A function to translate: tensors by name → tensors by name, and inputs to try it on."""

    function: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
    inputs: Batch


class Exported(NamedTuple):
    """What an export wrote.

    Attributes:
        folder: that has the graphs.
        graphs: their names.
        difference: largest difference of an output of the float32 graphs, relative to the largest
            output of its graph or 1.
        perplexities: on the run's validation rows in float32 and as int8; None in float32, where
            the objective makes no text probable, and where the run's data are not there.
    """

    folder: Path
    graphs: tuple[str, ...]
    difference: float
    perplexities: tuple[float, float] | None


def export_onnx(
    workdir: str | Path,
    target: str | Path,
    shapes: Shapes,
    *,
    checkpoint: str = "latest",
    dtype: str = "float32",
) -> Exported:
    """Writes the graphs of a run; whatever happens, the folder is whole or absent.

    Args:
        workdir: the run folder.
        target: the folder to write, which must not be there yet.
        shapes: of batches, prompts and texts.
        checkpoint: `latest`, `best` or a step.
        dtype: float32, or int8: matrices are rounded, one scale a matrix.

    Raises:
        UserError: an operation has no counterpart, or a graph's outputs are not the model's.
    """
    target = store.local(target).resolve()
    if target.exists():
        raise ConfigError(f"--to={target} is there already; give a new folder")
    if keras.backend.backend() != "tensorflow":
        raise UserError("graphs are traced by TensorFlow: run the command with KERAS_BACKEND unset")
    run = in_float32(workdir, checkpoint)
    graphs = dict(graphs_of(run.trained, shapes))
    with disk.writing(target, "the folder"), disk.filled(target, disk.keep_folder) as folder:
        write_graphs(folder, run.trained, graphs)
        sessions = {name: Session(folder / f"{name}.onnx") for name in graphs}
        found = max(difference(graphs[name], session) for name, session in sessions.items())
        if not found <= BOUND:
            raise UserError(f"the outputs in ONNX Runtime differ by {found:.3g}")
        both = in_int8(folder, run.trained, sessions) if dtype == "int8" else None
        write_description(folder, run, graphs, dtype)
    return Exported(target, tuple(graphs), found, both)


def in_float32(workdir: str | Path, checkpoint: str) -> Run:
    """Returns the run, whatever dtype it computes in: of bfloat16 few operations have kernels."""
    run = load(workdir, checkpoint)
    if run.config.get(DTYPE_POLICY, "float32") == "float32":
        return run
    return load(workdir, checkpoint, bindings=[f"{DTYPE_POLICY} = 'float32'"])


def graphs_of(trained: Trained, shapes: Shapes) -> Iterator[tuple[str, Graph]]:
    """Yields the graphs by name: of a model without a decoder, or of labels, the first alone."""
    yield "score", scoring(trained, shapes.rows)
    if not trained.has_decoder or trained.predicts_labels:
        return
    start, begun = starting(trained, shapes)
    yield "start", start
    yield "step", stepping(trained, begun)


def scoring(trained: Trained, rows: int) -> Graph:
    """Returns the function of training rows that `lm score` and `lm eval` need.

    Outputs: `outputs` of the model; if it gives probabilities of targets, also `log_likelihood`,
    `correct` and `weight`, [B] each, sums over a row.
    """
    found = row_shapes(trained.converter, trained.lengths)

    def function(features: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        outputs = {"outputs": trained.model(features, training=False)}
        if not trained.predicts_text:
            return outputs
        of_objective = trained.objective(features, training=False)
        sums = trained.objective.scores(features, of_objective)
        return {**outputs, **dict(zip(SUMS, sums, strict=True))}

    size = trained.model.vocabulary_size
    inputs = {n: probe(n, (rows, *shape), dtype, size) for n, (shape, dtype) in found.items()}
    return Graph(function, inputs)


def probe(name: str, shape: tuple[int, ...], dtype: str, vocabulary_size: int) -> np.ndarray:
    """Returns full rows of a feature: random tokens, positions, or ones."""
    if name.endswith("tokens"):
        drawn = np.random.default_rng(len(name)).integers(0, vocabulary_size, shape)
        return drawn.astype(dtype)
    if name.endswith(("positions", "order")):
        return np.broadcast_to(np.arange(shape[-1]), shape).astype(dtype)
    return np.full(shape, name.endswith(("segment_ids", "weights")), dtype)


def starting(trained: Trained, shapes: Shapes) -> tuple[Graph, tuple[Tensor, Tree]]:
    """Returns the function that reads prompts, and its outputs for an example.

    Outputs: `token`, int32 [B], the input of the first step, and `state/…`.
    """
    pack = trained.input_format.pack_prompts
    has_start = trained.input_format.prompt_side == "decoder"
    noise = np.random.default_rng(0)
    prompts = noise.integers(2, trained.model.vocabulary_size, (shapes.rows, shapes.prompt))
    inputs = pack([list(prompt[has_start:]) for prompt in prompts], shapes.prompt)

    def begun(features: Mapping[str, Tensor]) -> tuple[Tensor, Tree]:
        return trained.model.start(features, capacity(features, shapes.new_tokens))

    def function(features: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        token, state = begun(features)
        return {"token": token, **named(state, "state")}

    return Graph(function, inputs), begun(tensors(inputs))


def stepping(trained: Trained, begun: tuple[Tensor, Tree]) -> Graph:
    """Returns the function of a step: inputs `token`, `state/…`; outputs `logits`, `next/…`."""
    token, state = begun

    def function(given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        first, *parts = given.values()
        logits, after = trained.model.step(first, keras.tree.pack_sequence_as(state, parts))
        return {"logits": logits, **named(after, "next")}

    inputs = {"token": token, **named(state, "state")}
    return Graph(function, {name: np.asarray(x) for name, x in inputs.items()})


def named(tree: Tree, path: str) -> dict[str, Tensor]:
    """Returns the tensors of a state by their fields, in the order of `keras.tree.flatten`.

    >>> named((1, {"key": 2}), "state")
    {'state/0': 1, 'state/1/key': 2}
    """
    if isinstance(tree, dict):
        children = sorted(tree.items())
    elif isinstance(tree, tuple | list):
        fields = getattr(tree, "_fields", map(str, range(len(tree))))
        children = list(zip(fields, tree, strict=True))
    else:
        return {path: tree}
    return {k: x for name, child in children for k, x in named(child, f"{path}/{name}").items()}


def tensors(inputs: Batch) -> dict[str, Tensor]:
    """Returns arrays as tensors of the engine."""
    return {name: keras.ops.convert_to_tensor(x) for name, x in inputs.items()}


def write_graphs(folder: Path, trained: Trained, graphs: Mapping[str, Graph]) -> None:
    """Writes the weights and the graphs that read them."""
    variables = model_weights(trained.model)
    write_file(folder / WEIGHTS, {name: np.asarray(v.value) for name, v in variables.items()})
    stored = {n: Stored(WEIGHTS, e.first, e.size) for n, e in entries(folder / WEIGHTS).items()}
    for name, graph in graphs.items():
        made = graph_of(graph.function, graph.inputs, variables, stored)
        (folder / f"{name}.onnx").write_bytes(made.SerializeToString())


def difference(graph: Graph, session: Session) -> float:
    """Returns by how much ONNX Runtime's outputs differ from the model's, relatively."""
    expected = {n: np.asarray(x) for n, x in graph.function(tensors(graph.inputs)).items()}
    found = session(graph.inputs)
    largest = max(1.0, *(float(np.abs(x).max()) for x in expected.values() if x.dtype.kind == "f"))
    return max(
        float(np.abs(found[name].astype("float64") - x).max()) / largest
        for name, x in expected.items()
        if x.size
    )


def in_int8(
    folder: Path, trained: Trained, sessions: Mapping[str, Session]
) -> tuple[float, float] | None:
    """Rounds the matrices of all graphs; returns the perplexity before and after."""
    before = perplexity_by(sessions["score"], trained)
    for name in sessions:
        quantized(folder / f"{name}.onnx")
    (folder / WEIGHTS).unlink()
    after = perplexity_by(Session(folder / "score.onnx"), trained)
    return None if before is None or after is None else (before, after)


def perplexity_by(session: Session, trained: Trained) -> float | None:
    """Returns the perplexity of a graph on the first examples of the run's validation split.

    Returns:
        exp(nats per target); None where the graph makes nothing probable, or without data.
    """
    if SUMS[0] not in session.outputs:
        return None
    try:
        batches = evaluation_batches(
            mixture_or_task_name=task_names(trained.task)[0],
            lengths=trained.lengths,
            converter=trained.converter,
            vocabulary=trained.vocabulary,
            batch_size=session.rows,
            limit=_MEASURED_EXAMPLES,
        )
    except UserError:
        return None
    sums = np.zeros(2)
    for batch in batches:
        found = session(batch)
        sums += [float(np.sum(found[name], dtype="float64")) for name in (SUMS[0], SUMS[2])]
    return perplexity(-sums[0], sums[1])


def write_description(folder: Path, run: Run, graphs: Mapping[str, Graph], dtype: str) -> None:
    """Writes what a program needs to know that runs the graphs, and the tokenizer."""
    trained = run.trained
    name = "targets" if "targets" in trained.features else "inputs"
    values: dict[str, Any] = {"step": run.step, "dtype": dtype, "graphs": {}}
    if "start" in graphs:
        values |= {"start_token": trained.start_token, "eos_token": trained.eos_id}
    for graph in graphs:
        session = Session(folder / f"{graph}.onnx")
        values["graphs"][graph] = {"inputs": session.inputs, "outputs": session.outputs}
    (folder / DESCRIPTION).write_text(json.dumps(values, indent=1), encoding="utf-8")
    is_continued = "start" in graphs and not trained.input_format.has_inputs
    with contextlib.suppress(UserError):  # a vocabulary without such a form
        template = TEMPLATES["gpt2" if is_continued else "t5"]
        write_tokenizer(trained.features[name].vocabulary, folder, template)
