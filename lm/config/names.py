"""What the selectors of a gin text mean: from written names to full paths, without importing."""

from collections.abc import Iterable

from lm.config.suggest import did_you_mean, nearest
from lm.config.syntax import Import, Origin
from lm.errors import ConfigError

# What `lm` calls by itself: known to every configuration although no file names them.
ENTRIES = (
    "lm.train.train",
    "lm.evaluate.evaluate",
    "lm.generate.generate",
    "lm.score.score",
)
_GIN_OWN = ("gin.macro",)


class Names:
    """The symbols of one gin text.

    A file with dynamic registration names an object by an import and one name,
    `attention.SelfAttention`. The command line has no imports: it sees those of all files, and
    any tail of a known path (`SelfAttention`, `generate`).
    """

    def __init__(self) -> None:
        self._modules: dict[str, str] = {}

    def add(self, statement: Import) -> None:
        """Record an import; a later one of the same name wins."""
        self._modules[statement.prefix] = statement.module

    def update(self, other: "Names") -> None:
        """Take over the imports of another text."""
        self._modules.update(other._modules)

    def full(self, selector: str, origin: Origin, known: Iterable[str]) -> str:
        """Return the full path of a selector.

        Args:
            selector: as written, without scope.
            origin: where, for messages.
            known: full paths named elsewhere, for suggestions.

        Raises:
            ConfigError: no import provides it, or it walks through attributes.
        """
        path = self._imported(selector)
        if path:
            return path
        self._refuse_walk(selector, origin)
        near = did_you_mean(selector, [*self._spellings(selector), *map(_short, known)])
        raise ConfigError(f"{origin}: no import provides '{selector}'{near}")

    def loose(self, selector: str, origin: Origin, known: Iterable[str]) -> str:
        """Return the full path of a selector that may be any tail of a known path.

        Raises:
            ConfigError: nothing or more than one thing has that name.
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
            raise ConfigError(f"{origin}: '{selector}' may be {' or '.join(found)}; write more")
        tails = [tail for path in known for tail in _tails(path)]
        near = did_you_mean(selector, [*self._spellings(selector), *tails])
        raise ConfigError(f"{origin}: nothing that the files import is called '{selector}'{near}")

    def _imported(self, selector: str) -> str | None:
        """Return the path by the imports, or None."""
        if selector in _GIN_OWN:
            return selector
        prefix, _, name = selector.rpartition(".")
        module = self._modules.get(prefix)
        return f"{module}.{name}" if module else None

    def _refuse_walk(self, selector: str, origin: Origin) -> None:
        """Refuse an import followed by more than one name."""
        prefix = selector
        while "." in prefix:
            prefix = prefix.rpartition(".")[0]
            if prefix in self._modules:
                raise ConfigError(
                    f"{origin}: '{selector}' walks through attributes; a reference is an import "
                    f"and one name, like '{prefix}.Name'"
                )

    def _spellings(self, selector: str) -> list[str]:
        """Return the selector under the import that its own may be a slip of, to suggest from."""
        prefix, _, name = selector.rpartition(".")
        near = nearest(prefix, self._modules)
        return [f"{near}.{name}"] if near else []


def _short(path: str) -> str:
    """Return the last two names of a path: how files write it."""
    return ".".join(path.split(".")[-2:])


def _tails(path: str) -> list[str]:
    """Return `c`, `b.c`, `a.b.c` of `a.b.c`."""
    parts = path.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]
