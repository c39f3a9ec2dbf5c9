"""Names: resolving selectors to full paths, admitting them, and suggesting the nearest one."""

import difflib
from collections.abc import Iterable, Sequence

from lm.config import shipped
from lm.config.syntax import Import, Origin
from lm.errors import ConfigError

OWN_ROOTS = ("lm", "tasks")
KERAS_ROOTS = tuple(
    f"keras.{name}"
    for name in ("layers", "optimizers", "initializers", "losses", "metrics", "activations")
)
# Commands and the configuration itself are not parts of a model.
REFUSED = ("lm.cli", "lm.config")
# Called by `lm` itself: known to every configuration although no file names them.
INFERENCE = (
    "lm.inference.evaluate.evaluate",
    "lm.inference.generate.generate",
    "lm.inference.chat.reply",
    "lm.inference.score.score",
    "lm.inference.predict.predict",
    "lm.inference.embed.embed",
    "lm.inference.zero_shot.suite.evaluate_suite",
)
ENTRIES = ("lm.train.train", *INFERENCE)
_GIN_OWN = ("gin.macro",)


class Names:
    """The symbols of one gin text.

    A file with dynamic registration names an object by an import and one name, as in
    `attention.SelfAttention`. Files without it, and the command line, have no imports of their own:
    they see those of all files read before, and any suffix of a known path (`SelfAttention`).

    Attributes:
        is_strict: whether the text has dynamic registration.
    """

    def __init__(self) -> None:
        self._modules: dict[str, str] = {}
        self.is_strict = False

    def add(self, statement: Import) -> None:
        """Records an import; a later one of the same name wins."""
        self._modules[statement.prefix] = statement.module

    def joined(self, other: "Names") -> "Names":
        """Returns these imports and those of another text, which take precedence."""
        both = Names()
        both._modules = self._modules | other._modules
        return both

    def full(self, selector: str, origin: Origin, known: Iterable[str]) -> str:
        """Returns the full path of a selector.

        Args:
            selector: as written, without scope.
            origin: where, for messages.
            known: full paths named elsewhere, for suggestions.

        Raises:
            ConfigError: no import provides it, or it accesses attributes of an object.
        """
        path = self._imported(selector)
        if path:
            return path
        self._refuse_walk(selector, origin)
        known = {*known, *ENTRIES}
        advice = _import_to_add(selector, known) or did_you_mean(
            selector, [*self._spellings(selector), *map(_short, known)]
        )
        raise ConfigError(f"{origin}: no import provides '{selector}'{advice}")

    def loose(self, selector: str, origin: Origin, known: Iterable[str]) -> str:
        """Returns the full path of a selector that may be any suffix of a known path.

        Raises:
            ConfigError: no or more than one known path matches.
        """
        path = self._imported(selector)
        if path:
            return path
        self._refuse_walk(selector, origin)
        known = {*known, *ENTRIES}
        found = sorted(path for path in known if f".{path}".endswith(f".{selector}"))
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f"{origin}: '{selector}' may be {' or '.join(found)}; be specific")
        tails = [tail for path in known for tail in _tails(path)]
        file = shipped.file_naming(selector) if "." in selector else None
        near = did_you_mean(selector, [*self._spellings(selector), *tails])
        advice = f"; add --gin_file={file}, which imports it" if file else near
        raise ConfigError(f"{origin}: nothing that the files import is called '{selector}'{advice}")

    def _imported(self, selector: str) -> str | None:
        """Returns the path by the imports, or None."""
        if selector in _GIN_OWN:
            return selector
        prefix, _, name = selector.rpartition(".")
        module = self._modules.get(prefix)
        return f"{module}.{name}" if module else None

    def _refuse_walk(self, selector: str, origin: Origin) -> None:
        """Refuses an import followed by more than one name."""
        prefix = selector
        while "." in prefix:
            prefix = prefix.rpartition(".")[0]
            if prefix in self._modules:
                raise ConfigError(
                    f"{origin}: '{selector}' accesses an attribute; a reference is an import and "
                    f"one name, such as '{prefix}.Name'"
                )

    def _spellings(self, selector: str) -> list[str]:
        """Returns the selector with its import replaced by similar ones, for suggestions."""
        prefix, _, name = selector.rpartition(".")
        near = nearest(prefix, self._modules)
        return [f"{near}.{name}"] if near else []


def _import_to_add(selector: str, known: Iterable[str]) -> str:
    """Returns the import that a file with dynamic registration lacks; empty if none would help."""
    if "." not in selector:
        return ""
    found = sorted(path for path in known if f".{path}".endswith(f".{selector}"))
    module = found[0].rpartition(".")[0] if found else shipped.module_of(selector)
    if not module:
        return ""
    above, _, last = module.rpartition(".")
    return (
        f": a file with dynamic_registration imports all that it names; add `from {above} import "
        f"{last}`"
    )


def _short(path: str) -> str:
    """Returns the last two names of a path, as gin files write it."""
    return ".".join(path.split(".")[-2:])


def _tails(path: str) -> list[str]:
    """Returns `c`, `b.c`, `a.b.c` of `a.b.c`."""
    parts = path.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def refuse_module(statement: Import, roots: Sequence[str]) -> None:
    """Refuses a module outside the roots.

    Raises:
        ConfigError: it is outside, or internal.
    """
    module, origin = statement.module, statement.origin
    if statement.prefix == "gin" or module.startswith("__gin__"):
        raise ConfigError(f"{origin}: the name 'gin' is gin's own; import with `as`")
    refuse_private(module, origin)
    if lies_in(module, REFUSED):
        raise ConfigError(f"{origin}: a gin file may not import '{module}'")
    if not lies_in(module, roots):
        raise ConfigError(
            f"{origin}: '{module}' is not admitted{did_you_mean(module, roots)}; if you trust it, "
            f"add --gin_modules={module.split('.')[0]}"
        )


def refuse_private(path: str, origin: Origin) -> None:
    """Refuses a path with a name that begins with an underscore.

    Raises:
        ConfigError: it has one.
    """
    if private := [part for part in path.split(".") if part.startswith("_")]:
        raise ConfigError(f"{origin}: '{private[0]}' in '{path}' is private; gin files name parts")


def lies_in(name: str, roots: Iterable[str]) -> bool:
    """Returns whether a dotted name is one of the roots or below one.

    Example:
        >>> lies_in("lm.nn.attention", ["lm"]), lies_in("lmx", ["lm"])
        (True, False)
    """
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the end of an error message that suggests the nearest known name; empty if none.

    Args:
        name: what was written; case is ignored.
        known: the known names.

    Example:
        >>> did_you_mean("num_head", ["num_heads", "dropout"])
        "; did you mean 'num_heads'?"
        >>> did_you_mean("zebra", ["num_heads", "dropout"])
        ''
    """
    near = nearest(name, known)
    return f"; did you mean '{near}'?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the nearest known name, or None if none is similar; case is ignored."""
    folded = {candidate.lower(): candidate for candidate in sorted(set(known), reverse=True)}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def typo_of(name: str, known: Iterable[str]) -> str:
    """Returns the same only if the name is probably a typo of a known one.

    A typo is one extra, missing or wrong letter, or swapped letters. Names that differ in digits
    are not typos: `STAGE_1` and `STAGE_2` are two names.

    Example:
        >>> typo_of("TRAIN_STPES", ["TRAIN_STEPS"])
        "; did you mean 'TRAIN_STEPS'?"
        >>> typo_of("NUM_ENCODER_LAYERS", ["NUM_DECODER_LAYERS", "STAGE_1"])
        ''
    """
    near = [other for other in sorted(known) if other != name and _is_typo(name, other)]
    return f"; did you mean '{near[0]}'?" if near else ""


def _is_typo(name: str, other: str) -> bool:
    """Returns whether two names are one typo apart."""
    if len(name) == len(other):
        apart = [pair for pair in zip(name, other, strict=True) if pair[0] != pair[1]]
        letters = not any(char.isdigit() for pair in apart for char in pair)
        return letters and (len(apart) == 1 or sorted(name) == sorted(other))
    short, long = sorted((name, other), key=len)
    return any(
        short == long[:index] + long[index + 1 :] and not char.isdigit()
        for index, char in enumerate(long)
    )
