"""Graphs in ONNX Runtime: execution on the CPU, and quantization to int8."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime import quantization

ROUNDED = ["MatMul", "Gather"]
"""Operations whose matrices become int8: products, and rows of a table."""


class Session:
    """A graph, called with inputs by name.

    Args:
        path: the graph; its weights are in the same folder.

    Attributes:
        inputs: name → shape and type, such as `[[2, 8], "tensor(int32)"]`.
        outputs: the same.
    """

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.inputs = {x.name: [x.shape, x.type] for x in self.session.get_inputs()}
        self.outputs = {x.name: [x.shape, x.type] for x in self.session.get_outputs()}

    @property
    def rows(self) -> int:
        """Rows of a batch."""
        return next(iter(self.inputs.values()))[0][0]

    def __call__(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs; a tensor that the graph does not read is left out."""
        given = {name: tensors[name] for name in self.inputs}
        return dict(zip(self.outputs, self.session.run(None, given), strict=True))


def quantized(path: Path) -> None:
    """Quantizes the weight matrices of a graph to int8; the file then has its own weights.

    Additions and products of two activations are computed in float32. Activations that are
    multiplied by a weight matrix are quantized dynamically, with a scale for each call.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # Constants are folded first: a matrix that is transposed in the graph is none yet.
        folded = Path(folder) / path.name
        options.optimized_model_filepath = str(folded)
        external = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(external, f"{path.name}.data")
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        quantization.quantize_dynamic(folded, path, op_types_to_quantize=ROUNDED)
