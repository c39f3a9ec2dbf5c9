"""Reports of layers to the trainer: metrics to log and auxiliary losses.

    with collect() as reported:
        outputs = objective(features)
    reported.metrics(), reported.loss()

Layers always call `report`. Outside of `collect` it does nothing, so that scoring and decoding have
no cost, and no tensor outlives the computation that made it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from keras import ops

from lm.scoped import scoped
from lm.types import Tensor


class Report(NamedTuple):
    """A named mean, stored as two sums.

    Attributes:
        name: of the metric; reports of the same name are added.
        total: float32 scalar, Σ weight · value.
        weight: float32 scalar, Σ weight.
        loss: factor of the mean in the training loss; 0 for a metric only.
    """

    name: str
    total: Tensor
    weight: Tensor
    loss: float


class Reports:
    """The reports in order; `metric = Σ total / Σ weight` over the reports of a name."""

    def __init__(self) -> None:
        self.entries: list[Report] = []

    @property
    def names(self) -> list[str]:
        """The names of the metrics, each once."""
        return list(dict.fromkeys(entry.name for entry in self.entries))

    def metrics(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Returns name -> (Σ total, Σ weight) over the layers that reported it."""
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        for name, total, weight, _ in self.entries:
            before = sums.get(name, (0.0, 0.0))
            sums[name] = (before[0] + total, before[1] + weight)
        return sums

    def loss(self) -> Tensor:
        """Returns `Σ loss · total / weight` over the reports, a float32 scalar."""
        losses = [entry for entry in self.entries if entry.loss]
        means = [e.loss * ops.divide_no_nan(e.total, e.weight) for e in losses]
        return sum(means, start=ops.zeros((), "float32"))

    def tensors(self) -> list[Tensor]:
        """Returns totals and weights as a flat list, for functions that must return tensors."""
        return [x for entry in self.entries for x in (entry.total, entry.weight)]


_COLLECTING: ContextVar[Reports | None] = ContextVar("collecting", default=None)


@contextmanager
def collect() -> Iterator[Reports]:
    """Collects reports in the body; an inner collection hides the outer one.

    Example:
        >>> with collect() as reported:
        ...     report("dropped", 3.0, 4.0)
        ...     report("dropped", 1.0, 4.0)
        >>> [float(x) for x in reported.metrics()["dropped"]]
        [4.0, 8.0]
    """
    reports = Reports()
    with scoped(_COLLECTING, value=reports):
        yield reports


def report(name: str, total: Tensor, weight: Tensor, *, loss: float = 0.0) -> None:
    """Reports the mean `total / weight`, inside of `collect`.

    A layer must report the same names at every call, in training and evaluation alike.

    Args:
        name: a name of letters, digits and underscores, e.g. "router_z_loss".
        total: scalar, Σ weight · value.
        weight: scalar, Σ weight.
        loss: factor of the mean in the training loss; 0 for a metric only.
    """
    reports = _COLLECTING.get()
    if reports is not None:
        pair = (ops.cast(total, "float32"), ops.cast(weight, "float32"))
        reports.entries.append(Report(name, *pair, loss))


def report_again(entries: Sequence[Report], tensors: Sequence[Tensor]) -> None:
    """Repeats the reports of an inner collection with tensors that are valid outside of it.

    Args:
        entries: those of the inner collection.
        tensors: its `tensors()`, as returned by the function in which it was opened.
    """
    for entry, total, weight in zip(entries, tensors[::2], tensors[1::2], strict=True):
        report(entry.name, total, weight, loss=entry.loss)
