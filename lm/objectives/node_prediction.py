"""Negative sampling and hierarchical softmax as binary classification of nodes."""

import keras
from keras import ops

from lm.errors import UserError
from lm.nn.branch import Factory, State, make
from lm.objectives.objective import Ratio
from lm.parts import part
from lm.types import Features, Shape, Tensor


@part
class NodePrediction(keras.Model):
    """`Σ a w · (log(1 + e^z) - y z)`, `z = h · u`, over the M nodes of a row and its P vectors h.

    Negative sampling: nodes are words, y = 1 for the true word and 0 for negative samples.
    Hierarchical softmax: nodes are those on the path to a word in a Huffman tree, y = 1 where it
    goes left, so that the loss is -log p(word). The data choose (`lm.data.paragraphs.nodes`).

    Features: those of the model, `nodes` int32 [B, M], `labels` and `node_weights` float32 [B, M].

    Args:
        model: factory of a model of `lm.models.paragraph_vector`.
        nodes: factory of the table of nodes U, a `SparseTable` over `nodes`.

    Raises:
        UserError: nodes and predicting vectors have different widths.

    Source: Mikolov et al. 2013 (https://arxiv.org/abs/1310.4546), equations 3 and 4.
    Departures: no bias, as in the original code.
    """

    def __init__(self, *, model: Factory, nodes: Factory, name: str = "node_prediction") -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(model)
        self.nodes = make(nodes, "nodes")

    @property
    def vocabulary_size(self) -> int:
        """The ids of words that all tables have a row for."""
        tables = (self.model.words, self.nodes)
        return min(table.num_rows for table in tables if table is not None)

    def build(self, features_shape: Shape) -> None:
        """The model creates its variables at its first call."""
        del features_shape

    def call(self, features: Features) -> tuple[Tensor, Tensor]:
        h, weights = self.model(features)  # [B, P, D], [B, P]
        if h.shape[-1] != self.nodes.dim:
            raise UserError(
                f"predicting vectors have width {h.shape[-1]}, nodes {self.nodes.dim}: set "
                f"NODE_DIM = {h.shape[-1]}"
            )
        u = self.nodes(features["nodes"])  # [B, M, D]
        return ops.einsum("bpd,bmd->bpm", h, u), weights

    def initial_carry(self, batch: int) -> State:
        """Returns `()`: rows are independent."""
        del batch
        return ()

    def terms(self, features: Features, outputs: tuple[Tensor, Tensor]) -> dict[str, Ratio]:
        """Returns the sum over rows and their number, "loss"."""
        z, weights = outputs
        y = features["labels"][:, None]  # [B, 1, M]
        w = weights[:, :, None] * features["node_weights"][:, None]  # [B, P, M]
        total = ops.sum(w * (ops.softplus(z) - y * z))
        return {"loss": Ratio(total, ops.full((), float(y.shape[0])))}
