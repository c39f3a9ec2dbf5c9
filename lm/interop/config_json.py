"""What `config.json` says and what gin says: one table for both directions.

A setting is a key of `config.json` and the gin names that take its value. A `Format` is all that
one `model_type` may say; a `Variant` is one class of `transformers` and the gin files of its model.
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
    """The values of a setting.

    Attributes:
        what: for messages.
        fits: whether a JSON value is one of them.
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

SIZE = Kind("a whole number above 0", _is_size)
OPTIONAL = Kind("a whole number above 0", lambda x: x is None or _is_size(x))
COUNT = Kind("a whole number", lambda x: x == 0 or _is_size(x), to_json=lambda x: x or 0)
RATE = Kind("a number from 0 to below 1", lambda x: _is_number(x) and x < 1, to_gin=float)
NUMBER = Kind("a number from 0 on", _is_number, to_gin=float)
LAYERS = Kind(f"a whole number from 1 to {_MOST_LAYERS}", _is_layers)
SIZES = Kind(
    f"a list of whole numbers from 1 to {_MOST_LAYERS}",
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
        key: of `config.json`.
        default: of `transformers`, for files that do not say it.
        kind: of its values.
        names: macros, or `scope/full.path.Name.parameter`; the first is what is written back.
        fallback: what is written back where nothing binds the first.
    """

    key: str
    default: Any
    kind: Kind
    names: tuple[str, ...]
    fallback: str = ""


class Purpose(NamedTuple):
    """What the verbs do with a model, as gin files and bindings.

    Attributes:
        files: objective, features and data.
        task: gin name of the function that makes the task.
        features: of the task that have a length.
        bindings: gin name -> value.
        values: gin name -> function of `config.json` and of the ids of the tokenizer's roles.
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
        architecture: its name.
        family: the names of its tensors.
        files: gin files of the model.
        purpose: what it is used for; none where it has no head.
        when: key of `config.json` -> value that it must have, for variants of one class.
        head: whether it has logits of its own, where a variant has not.
        settings: what its head takes beside the model's settings.
        bindings: gin name -> value, after the files.
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
    """What the `config.json` of one `model_type` may say.

    Attributes:
        settings: what varies.
        fixed: key -> the one value that is known here; also the default of a missing key.
        variants: classes of `transformers`; the first is that of a file that names none.
        length: gin name or key of the longest row; a number where there is no limit.
        normal: `config.json` -> the same with what it leaves unsaid.
        written: the inverse, for what is written.
    """

    settings: tuple[Setting, ...]
    fixed: Mapping[str, Any]
    variants: tuple[Variant, ...]
    length: str | int
    normal: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config
    written: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config


def check_fixed(config: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Checks that a file says nothing that is unknown here.

    Raises:
        UserError: naming the key.
    """
    for key, only in fixed.items():
        if config.get(key, only) != only:
            raise UserError(
                f"config.json: {key} = {config[key]!r:.40}; of this type only {key} = {only!r} "
                "is known"
            )


def bindings(config: Mapping[str, Any], settings: Sequence[Setting]) -> list[Binding]:
    """Returns gin's bindings of what a file says.

    Raises:
        UserError: naming the key whose value is none of its kind.
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
    """Returns what a configuration says, as `config.json` has it.

    Raises:
        UserError: naming the binding that has no value of this kind.
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
