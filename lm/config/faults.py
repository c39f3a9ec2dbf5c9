"""Finds all errors of a configuration; callers raise the first one or list them all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lm.config import macros, outline, parameters, reachability, shipped, syntax
from lm.config.names import ENTRIES, did_you_mean
from lm.config.scanner import Scan, effective, scan
from lm.config.syntax import Binding, Import
from lm.errors import ConfigError


def misnamed(given: Sequence[Binding], objects: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Yields an error for every unknown parameter and every value of the wrong type.

    Args:
        given: bindings of a scan, overridden ones included.
        objects: target -> class or function, or a stand-in with the same parameters; other targets
            are not checked.
    """
    table = macros.table(given)
    last = effective(given).values()
    try:
        macros.refuse_endless(last, table)
    except ConfigError as error:
        yield error
        return  # values cannot be checked
    for binding in last:
        if binding.target in objects:
            yield from parameters.faults(binding, objects[binding.target], table)


def faults(
    given: Sequence[Binding], objects: Mapping[str, Any], *, roots: Sequence[str]
) -> Iterator[ConfigError]:
    """Yields an error for everything that is misnamed, not set, or unused.

    Args:
        given: as in `misnamed`.
        objects: as in `misnamed`.
        roots: what is called or built.
    """
    yield from macros.undefined(effective(given).values(), macros.table(given))
    yield from misnamed(given, objects)
    yield from reachability.useless(given, roots)
    yield from required(given, roots)


def required(given: Sequence[Binding], roots: Sequence[str]) -> Iterator[ConfigError]:
    """Yields an error for every required value that is not set; arguments as in `faults`."""
    last = list(effective(given).values())
    needed = reachability.walk(last, roots or ENTRIES).keys
    yield from macros.required([binding for binding in last if binding.key in needed])


def unset(
    target: str, signature: Any, handed: Iterable[str], bindings: Iterable[Binding]
) -> Iterator[ConfigError]:
    """Yields an error that names all unset parameters of a command's function.

    Args:
        target: full path of the function, `lm.train.train`.
        signature: the function, or a stand-in with the same parameters.
        handed: parameters that the command itself sets.
        bindings: those of a scan.
    """
    bound = {b.parameter for b in bindings if b.target == target and not b.scope}
    missing = [name for name in parameters.required(signature) if name not in {*bound, *handed}]
    if missing:
        short = ".".join(target.split(".")[-2:])
        file = shipped.file_naming(f"{short}.{missing[0]}")
        advice = f"; give --gin_file={file} first" if file else ""
        yield ConfigError(f"nothing sets {short}'s {', '.join(missing)}{advice}")


def of_files(
    gin_files: Sequence[str],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    modules: Sequence[str] = (),
    *,
    roots: Sequence[str] = (),
    handed: Sequence[str] | None = None,
) -> list[ConfigError]:
    """Returns all errors of a configuration without importing what it names.

    Args:
        gin_files: as in `lm.config.load`, like the next ones.
        bindings: gin text, after the files.
        search_paths: folders of gin files.
        modules: roots that gin files may import besides the package's own.
        roots: what the verb calls or builds.
        handed: parameters of the root functions that the verb itself sets; None skips the check
            for unset parameters.
    """
    found: list[ConfigError] = []
    read = scan(
        gin_files, bindings, search_paths=search_paths, modules=modules, on_error=found.append
    )
    sketch = Sketch(read, roots)
    given, signatures = sketch.bindings, sketch.signatures
    # After unresolved names or unread files, the other checks would give false errors.
    if not found:
        found += reachability.useless(given, sketch.roots)
    found += [*sketch.unknown, *misnamed(given, signatures)]
    if read.is_complete:
        found += macros.undefined(effective(given).values(), macros.table(given))
        found += required(given, sketch.roots)
        for root in signatures.keys() & sketch.roots if handed is not None else ():
            found += unset(root, signatures[root], handed or (), given)
    return list({str(error): error for error in found}.values())


def of_names(read: Scan) -> list[ConfigError]:
    """Returns the misnamed targets and parameters of a scan, which may be incomplete."""
    sketch = Sketch(read)
    return [*sketch.unknown, *misnamed(sketch.bindings, sketch.signatures)]


class Sketch:
    """A scan resolved against the source code of what it names.

    Attributes:
        unknown: an error for each module and each name that does not exist.
        bindings: those of the scan, with one canonical path per object: where it is defined, or for
            entry functions the path by which commands call them.
        signatures: path -> a function with the same parameters.
        roots: as given, with these paths.
    """

    def __init__(self, read: Scan, roots: Sequence[str] = ()) -> None:
        self.unknown = list(_unknown_modules(read.imports))
        found: dict[str, outline.Outline] = {}
        for path in (*ENTRIES, *(root for root in roots if "." in root)):
            found[path] = outline.outline(path)
        for binding in read.bindings:
            self.unknown += _look_up(binding, found)
        entries = {found[path].path: path for path in ENTRIES}
        names = {path: entries.get(item.path, item.path) for path, item in found.items()}
        self.bindings = [syntax.renamed(binding, names) for binding in read.bindings]
        self.signatures = {names[path]: i.signature for path, i in found.items() if i.signature}
        self.roots = [names.get(root, root) for root in roots]


def _unknown_modules(imports: Iterable[Import]) -> Iterator[ConfigError]:
    """Yields an error for every import of a module of `lm` or `tasks` that does not exist."""
    for statement in imports:
        if outline.is_judged(statement.module) and not outline.exists(statement.module):
            yield ConfigError(f"{statement.origin}: {outline.unknown_module(statement.module)}")


def _look_up(binding: Binding, found: dict[str, outline.Outline]) -> Iterator[ConfigError]:
    """Adds the outlines of what a binding names; yields an error for names that do not exist."""
    for path, written in syntax.named(binding).items():
        module, _, name = path.rpartition(".")
        if path in found or not (outline.is_judged(path) and outline.exists(module)):
            continue
        try:
            found[path] = outline.outline(path)
        except outline.NotDefinedError as error:
            near = did_you_mean(name, error.args[0])
            yield ConfigError(f"{binding.origin}: '{module}' has no '{name}' for {written}{near}")
            continue
        if not found[path].is_part:
            there = ", ".join(outline.parts(module)) or "none"
            yield ConfigError(
                f"{binding.origin}: {written} is not admitted: not a part that gin files may name; "
                f"{module} has {there}"
            )
