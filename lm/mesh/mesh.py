"""A device mesh over which batches and weights are sharded, by rules on logical axes."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from lm.abstract import on_shapes, specs
from lm.errors import ConfigError
from lm.mesh.axes import (
    BATCH,
    NAMES,
    Axes,
    Layout,
    Rules,
    bound,
    declared,
    lay_out,
    outputs,
    refuse_split_heads,
    split,
)
from lm.parts import part
from lm.types import Features

REMAINING = -1


@part
class Mesh:
    """Devices in a grid with named axes, and rules that say what is split over which axis.

    The batch is split over the mesh axes of the rule `batch`, every variable over those of its
    logical axes; the first rule wins, and a mesh axis is used once per array. Everything else is
    replicated. XLA adds the communication; results do not depend on the mesh.

    Args:
        shape: mesh axis -> number of devices; one of them may be -1, for all remaining devices.
        rules: pairs of a logical axis and a mesh axis or None; `batch` may name several.
        axes: logical axes of variables, overriding those that their layers declare: a regular
            expression for the end of a path -> one name per dimension.
        cluster: function that joins a cluster, called once before the devices are counted; None for
            a single process. See `lm.mesh.cluster`.

    Raises:
        ConfigError: the engine is not JAX, or a rule names an axis that does not exist.

    Source: the names and priorities of T5X (Roberts et al. 2022,
    https://arxiv.org/abs/2203.17189, section 2).
    """

    def __init__(
        self,
        *,
        shape: Mapping[str, int],
        rules: Rules,
        axes: Mapping[str, Axes] | None = None,
        cluster: Callable[[], None] | None = None,
    ) -> None:
        if keras.backend.backend() != "jax":
            raise ConfigError(
                f"train.train.mesh: {keras.backend.backend()} trains on one device; "
                "use KERAS_BACKEND=jax"
            )
        self.shape = dict(shape)
        self.rules = list(rules)
        self.extra_axes = {end: tuple(names) for end, names in (axes or {}).items()}
        self.cluster = cluster
        self._grid: Any = None
        self._check_names()

    @property
    def batch_axes(self) -> tuple[str, ...]:
        """The mesh axes over which the rows of a batch are split, including axes of size 1."""
        found = [axes for name, axes in self.rules if name == BATCH and axes is not None]
        return () if not found else _names(found[0])

    @property
    def shards(self) -> int:
        """The number of parts into which the rows of a batch are split."""
        return math.prod(self.shape[axis] for axis in self.batch_axes)

    @property
    def grid(self) -> Any:
        """The devices as `keras.distribution.DeviceMesh`, ordered by their interconnect."""
        if self._grid is None:
            import jax
            from jax.experimental import mesh_utils

            sizes = tuple(self.shape.values())
            devices = mesh_utils.create_device_mesh(sizes, jax.devices()[: math.prod(sizes)])
            self._grid = keras.distribution.DeviceMesh(sizes, list(self.shape), devices)
        return self._grid

    def start(self) -> None:
        """Joins the cluster and counts its devices; must run before anything else that uses JAX.

        Raises:
            ConfigError: the shape does not match the number of devices.
        """
        import jax

        if self.cluster is not None:
            self.cluster()
        self.resolve(jax.device_count())

    def resolve(self, devices: int) -> None:
        """Replaces the size -1 by the number of remaining devices.

        Args:
            devices: total number of devices.

        Raises:
            ConfigError: the shape does not match the number of devices.
        """
        known = math.prod(size for size in self.shape.values() if size != REMAINING)
        if REMAINING in self.shape.values() and devices % known == 0:
            self.shape = {
                n: devices // known if s == REMAINING else s for n, s in self.shape.items()
            }
        if math.prod(self.shape.values()) != devices:
            shape = " x ".join(f"{name} {size}" for name, size in self.shape.items())
            raise ConfigError(
                f"mesh.Mesh.shape is {shape}, but there are {devices} devices; change the shape "
                f"({', '.join(f'{name.upper()}_DEVICES' for name in self.shape)})"
            )

    def axes_of(self, model: Any) -> dict[str, Axes]:
        """Returns path -> logical axes of the variables of a built model or objective.

        Raises:
            ConfigError: `axes` names a variable that does not exist.
        """
        paths = [v.path for v in model.variables]
        for end, names in self.extra_axes.items():
            if not bound(paths, {end: names}):
                raise ConfigError(f"mesh.Mesh.axes: '{end}' is the end of no variable's path")
        return declared(model) | bound(paths, self.extra_axes)

    def layouts_of(self, model: Any) -> dict[str, Layout]:
        """Returns path -> layout of every variable of a built model or objective.

        Raises:
            ConfigError: a variable cannot be split as the rules say, a rule matches nothing, a mesh
                axis splits nothing, or a head would be split over several devices.
        """
        shapes = {v.path: tuple(v.shape) for v in model.variables}
        if not self._splits_variables():
            return {path: Layout(s, (), (None,) * len(s)) for path, s in shapes.items()}
        found = lay_out(shapes, axes=self.axes_of(model), rules=self.rules, sizes=self.shape)
        used = {mesh_axis for layout in found.values() for mesh_axis in layout.split}
        for axis, size in self.shape.items():
            if size > 1 and axis not in used and axis not in self.batch_axes:
                raise ConfigError(
                    f"the mesh axis '{axis}' of {size} devices splits no variable of this model; "
                    "take another file of gin/mesh or change mesh.Mesh.rules"
                )
        refuse_split_heads(model, found, self.shape)
        return found

    def check_rows(self, rows: int, microbatches: int = 1) -> None:
        """Refuses a batch that cannot be split evenly.

        Raises:
            ConfigError: it is not divisible; the message names the bindings.
        """
        if rows // microbatches % self.shards:
            parts = f" in {microbatches} microbatches" if microbatches > 1 else ""
            over = " x ".join(f"{axis} {self.shape[axis]}" for axis in self.batch_axes)
            raise ConfigError(
                f"BATCH_SIZE = {rows}{parts} does not divide by the mesh axes of a batch ({over}); "
                f"make it a multiple of {self.shards * microbatches} or change mesh.Mesh.shape"
            )

    @contextlib.contextmanager
    def over(
        self, *, objective: Callable[[], Any], features: Features, microbatches: int = 1
    ) -> Iterator[None]:
        """Checks everything from shapes alone, then has Keras shard the variables made inside.

        Args:
            objective: factory of the objective; it is built once without allocating anything.
            features: a batch, or anything with a shape and dtype for each feature.
            microbatches: number of parts into which a batch is split.

        Raises:
            ConfigError: something does not fit; raised before any device memory is allocated.
        """
        self.check_rows(next(iter(features.values())).shape[0], microbatches)
        distribution = self.distribution(_shaped(objective, features))
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(distribution)
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)

    def distribution(self, model: Any) -> Any:
        """Returns the layouts of a built model or objective as `keras.distribution.ModelParallel`.

        Raises:
            ConfigError: as `layouts_of`.
        """
        layout_map = ByPath(self.grid)
        for path, layout in self.layouts_of(model).items():
            if any(layout.split):
                layout_map[path] = layout.split
        for path, names in outputs(model).items():
            if any(mesh_axes := split(names, self.rules)):
                # Keras looks up the layouts of layer outputs under these keys.
                layout_map[f"{path}/output"] = mesh_axes
        first = next(iter(self.shape))
        return keras.distribution.ModelParallel(layout_map=layout_map, batch_dim_name=first)

    def _splits_variables(self) -> bool:
        """Whether a rule splits anything but the batch over more than one device."""
        mesh_axes = [axis for name, axis in self.rules if name != BATCH and isinstance(axis, str)]
        return any(self.shape[axis] > 1 for axis in mesh_axes)

    def _check_names(self) -> None:
        """Refuses rules that name unknown axes."""
        known = {BATCH, *NAMES, *(name for names in self.extra_axes.values() for name in names)}
        for name, mesh_axes in self.rules:
            if name not in known:
                raise ConfigError(
                    f"mesh.Mesh.rules: there is no logical axis '{name}'; known are "
                    f"{', '.join(sorted(known))}"
                )
            for axis in _names(mesh_axes):
                if axis not in self.shape:
                    raise ConfigError(
                        f"mesh.Mesh.rules: '{name}' is split over '{axis}', which is no axis of "
                        f"mesh.Mesh.shape ({', '.join(self.shape)})"
                    )


class ByPath(keras.distribution.LayoutMap):
    """Layouts looked up by the full path; Keras alone would try every key as a regex."""

    def __getitem__(self, key: str) -> Any:
        """Returns the layout of a variable or output, None if it has none."""
        return self._layout_map.get(key)


def _shaped(objective: Callable[[], Any], features: Features) -> Any:
    """Returns an objective whose variables have only paths and shapes; nothing is allocated."""
    with on_shapes("OBJECTIVE"):
        built = objective()
        built(specs(features))
    return built


def _names(mesh_axes: Any) -> tuple[str, ...]:
    """Returns the mesh axes of a rule as a tuple of none, one or several."""
    if mesh_axes is None:
        return ()
    return (mesh_axes,) if isinstance(mesh_axes, str) else tuple(mesh_axes)
