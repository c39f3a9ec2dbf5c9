"""Settings of `config.json` and their gin names: one table for both directions.

A `Setting` is a key of `config.json` and the gin names that take its value. A `Format` describes
the `config.json` of one `model_type`; a `Variant` is one class of `transformers` with the gin files
of its model.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lm.config import macros, syntax
from lm.config.syntax import Binding, Origin, Reference
from lm.errors import UserError
from lm.interop.renaming import Family

_LARGEST_SIZE, _MOST_LAYERS = 2**31, 1000
ORIGIN = Origin("config.json", 0)


class Kind(NamedTuple):
    """The type of a setting's values.

    Attributes:
        what: description for messages.
        fits: whether a JSON value is of this type.
        to_gin: JSON value -> gin value.
        to_json: the inverse.
    """

    what: str
    fits: Callable[[Any], bool]
    to_gin: Callable[[Any], Any] = lambda x: x
    to_json: Callable[[Any], Any] = lambda x: x


def _is_size(x: Any) -> bool:
    return type(x) is int and 0 < x < _LARGEST_SIZE


def _is_layers(x: Any) -> bool:
    return _is_size(x) and x <= _MOST_LAYERS


def _is_number(x: Any) -> bool:
    return type(x) in (int, float) and 0 <= x < _LARGEST_SIZE


FUNCTIONS = {
    "gelu_new": "lm.nn.feedforward.gelu_tanh",
    "gelu_pytorch_tanh": "lm.nn.feedforward.gelu_tanh",
    "gelu": "lm.nn.feedforward.gelu_erf",
    "relu": "keras.activations.relu",
    "silu": "keras.activations.silu",
    "swish": "keras.activations.silu",
    "tanh": "keras.activations.tanh",
}
NAMES = {path: name for name, path in reversed(FUNCTIONS.items())}

SIZE = Kind("an integer above 0", _is_size)
OPTIONAL = Kind("an integer above 0", lambda x: x is None or _is_size(x))
COUNT = Kind("an integer", lambda x: x == 0 or _is_size(x), to_json=lambda x: x or 0)
RATE = Kind("a number from 0 to below 1", lambda x: _is_number(x) and x < 1, to_gin=float)
NUMBER = Kind("a number from 0 on", _is_number, to_gin=float)
LAYERS = Kind(f"an integer from 1 to {_MOST_LAYERS}", _is_layers)
SIZES = Kind(
    f"a list of integers from 1 to {_MOST_LAYERS}",
    lambda x: isinstance(x, list) and all(map(_is_layers, x)),
)
FUNCTION = Kind(
    f"one of {', '.join(FUNCTIONS)}",
    lambda x: isinstance(x, str) and x in FUNCTIONS,
    lambda x: Reference("", FUNCTIONS[x], is_call=False),
    lambda x: NAMES[x.target],
)


class Setting(NamedTuple):
    """A key of `config.json` and the gin names that take its value.

    Attributes:
        key: key of `config.json`.
        default: default of `transformers`, for files without the key.
        kind: type of its values.
        names: macros, or `scope/full.path.Name.parameter`; an export reads the first.
        fallback: value that an export writes if nothing binds the first name.
    """

    key: str
    default: Any
    kind: Kind
    names: tuple[str, ...]
    fallback: str = ""


class Purpose(NamedTuple):
    """How commands use a model, as gin files and bindings.

    Attributes:
        files: objective, features and data.
        task: gin name of the function that makes the task.
        features: features of the task that have a length.
        bindings: gin name -> value.
        values: gin name -> function of `config.json` and of the token ids by role.
        sizes: gin name of a size of the head -> function of `config.json`.
    """

    files: tuple[str, ...] = ()
    task: str = ""
    features: tuple[str, ...] = ()
    bindings: Mapping[str, Any] = {}
    values: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, int]], Any]] = {}
    sizes: Mapping[str, Callable[[Mapping[str, Any]], int]] = {}


class Variant(NamedTuple):
    """One class of `transformers`.

    Attributes:
        architecture: name of the class.
        family: names of its tensors.
        files: gin files of the model.
        purpose: how it is used; None without a head.
        when: key of `config.json` -> required value, to tell variants of one class apart.
        head: tensor of separate output logits, which tells variants apart that differ in having it.
        settings: settings of its head, beside the model's settings.
        bindings: gin name -> value, applied after the files.
    """

    architecture: str
    family: Family
    files: tuple[str, ...]
    purpose: Purpose = Purpose()
    when: Mapping[str, Any] = {}
    head: str | None = None
    settings: tuple[Setting, ...] = ()
    bindings: Mapping[str, Any] = {}


class Format(NamedTuple):
    """The `config.json` of one `model_type`.

    Attributes:
        settings: the keys that may vary.
        fixed: key -> the only supported value; also the default of a missing key.
        variants: classes of `transformers`; the first is the default for files that name none.
        length: gin name or key of the maximum row length; a number if there is no limit.
        normal: `config.json` -> the same with defaults that depend on other keys filled in.
        written: the inverse, applied to what an export writes.
    """

    settings: tuple[Setting, ...]
    fixed: Mapping[str, Any]
    variants: tuple[Variant, ...]
    length: str | int
    normal: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config
    written: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config


def check_fixed(config: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Checks that a file holds no unsupported value.

    Raises:
        UserError: it does; the message names the key.
    """
    for key, only in fixed.items():
        if config.get(key, only) != only:
            raise UserError(
                f"config.json: {key} = {config[key]!r:.40}; of this type only {key} = {only!r} "
                "is known"
            )


def bindings(config: Mapping[str, Any], settings: Sequence[Setting]) -> list[Binding]:
    """Returns the gin bindings of the settings in a file.

    Raises:
        UserError: a value is not of the setting's type; the message names the key.
    """
    found = []
    for key, default, kind, names, _ in settings:
        given = config.get(key, default)
        if not kind.fits(given):
            raise UserError(f"config.json: {key} = {given!r:.40}; it must be {kind.what}")
        found += [binding(name, kind.to_gin(given)) for name in names]
    return found


def binding(name: str, value: Any) -> Binding:
    """Returns the binding of a macro, or of `scope/full.path.Name.parameter`."""
    scope, _, path = name.rpartition("/")
    target, _, parameter = path.rpartition(".")
    if not target:
        return Binding(name, syntax.MACRO, "value", value, ORIGIN, name)
    return Binding(scope, target, parameter, value, ORIGIN, name)


def described(given: Sequence[Binding], settings: Sequence[Setting]) -> dict[str, Any]:
    """Returns the settings of a configuration as `config.json` has them.

    Raises:
        UserError: a value has no JSON counterpart; the message names the binding.
    """
    table = macros.table(given)
    values = {one.key: macros.expanded(one.value, table) for one in given}
    found = {}
    for key, default, kind, names, fallback in settings:
        bound = (values[k] for n in (names[0], fallback) if (k := binding(n, None).key) in values)
        value = next(bound, kind.to_gin(default))
        try:
            found[key] = kind.to_json(value)
            fits = kind.fits(found[key])
        except (KeyError, TypeError, AttributeError):
            fits = False
        if not fits:
            raise UserError(f"{names[0]} = {value!r}: {key} of a config.json is {kind.what}")
    return found
