"""Flags shared by all verbs: gin files and bindings, the run folder; T5X's and t5's names work.

--gin_file=FILE           repeatable, later files win; searched in --gin_search_paths, the
                          current folder, the package's own gin folder
--gin.NAME=VALUE          one binding; a bare word or path is read as a string
--gin_bindings=TEXT       the same in gin's own form: 'NAME = VALUE'
--gin_search_paths=A,B    folders of gin files
--gin_modules=A,B         modules of your own that gin files may import; imported at once
--workdir=DIR             the run folder
"""

import argparse
import ast
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm.errors import ConfigError

if TYPE_CHECKING:
    from lm.config.parse import Config
    from lm.config.scanner import Scan

TASK = "MIXTURE_OR_TASK_NAME"
_GIN_FLAG = re.compile(r"--gin\.([^=]+)(?:=(.*))?\Z", re.DOTALL)
# A value that starts like this must be valid gin; anything else that gin cannot read is a string.
_GIN_VALUE = re.compile(r"[@%\[({'\"]")
_ESCAPED_QUOTES = re.compile(r"\\(['\"])(.*)\\\1\Z", re.DOTALL)


def add_command(
    commands: Any,
    examples: str,
    name: str,
    function: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    """Adds a subcommand to a verb; `args.command` is its function.

    Args:
        commands: the result of the verb's `add_subparsers`.
        examples: printed at the end of its help.
        name: of the command.
        function: takes the parsed flags, returns the exit code.
        text: one line of help.
    """
    parser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show tracebacks and framework logs",
    )
    parser.set_defaults(command=function)
    return parser


def add_gin(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that make a configuration."""
    parser.add_argument(
        "--gin_file",
        action="append",
        default=[],
        metavar="FILE",
        help="gin file to read; repeatable, later files override earlier ones",
    )
    parser.add_argument(
        "--gin_bindings",
        "--gin_param",
        action="append",
        default=[],
        metavar="TEXT",
        help="'NAME = VALUE', overrides all files; also written --gin.NAME=VALUE; repeatable",
    )
    add_search(parser)


def add_search(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for the folders of gin files and for the modules that they may import."""
    parser.add_argument(
        "--gin_search_paths",
        default="",
        metavar="A,B",
        help="folders to search for gin files before the current one",
    )
    parser.add_argument(
        "--gin_modules",
        "--module_import",
        action="append",
        default=[],
        metavar="A,B",
        help="your own modules that gin files may import; they are imported at once",
    )


def add_workdir(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Adds the flag of the run folder; `--model_dir` is t5's name for it."""
    parser.add_argument(
        "--workdir", "--model_dir", required=required, metavar="DIR", help="the run folder"
    )


def load(
    args: argparse.Namespace, *, roots: Sequence[str] = (), first: Sequence[str] = ()
) -> "Config":
    """Returns the configuration of the flags: checked, parsed and locked in gin.

    Args:
        args: the flags of `add_gin`, parsed.
        roots: what the verb calls or builds: full paths (`lm.train.train`) or macros (`MODEL`).
        first: gin files to read before those of the flags, such as `run_config(args.workdir)`.

    Raises:
        ConfigError: anything wrong with the files, the bindings or the flags.
    """
    from lm import config

    return config.load(
        [*first, *args.gin_file], args.gin_bindings, search_paths(args), modules(args), roots=roots
    )


def scan(args: argparse.Namespace, *, first: Sequence[str] = ()) -> "Scan":
    """Returns the scan of the flags' gin files, without executing anything.

    Raises:
        ConfigError: a file is missing, has a syntax error or names what is not admitted.
    """
    from lm.config.scanner import scan as read

    return read(
        [*first, *args.gin_file],
        args.gin_bindings,
        search_paths=search_paths(args),
        modules=modules(args),
    )


def faults(
    args: argparse.Namespace, *, roots: Sequence[str] = (), handed: Sequence[str] | None = None
) -> list[ConfigError]:
    """Returns all errors in the flags' gin files, without importing anything.

    Args:
        args: the flags of `add_gin`, parsed.
        roots: what the verb calls or builds.
        handed: parameters of the root functions that the verb itself sets; None skips the check
            for unset parameters.
    """
    from lm.config.faults import of_files

    found = of_files(
        args.gin_file,
        args.gin_bindings,
        search_paths(args),
        modules(args),
        roots=roots,
        handed=handed,
    )
    return [*found, *_misspelt_tasks(args)]


def _misspelt_tasks(args: argparse.Namespace) -> list[ConfigError]:
    """Returns an error for each probably misspelt task name in the gin files."""
    from lm.config.scanner import effective
    from lm.config.scanner import scan as read

    if modules(args):  # which may register tasks
        return []
    files = [*args.gin_file], args.gin_bindings
    found = read(*files, search_paths=search_paths(args), modules=[], on_error=lambda error: None)
    last = list(effective(found.bindings).values())
    named = [b for b in last if b.is_macro and b.scope == TASK and b.value not in _made(last)]
    faults = [misspelt_task(b.value, f"{b.origin}: {TASK} = ") for b in named]
    return [fault for fault in faults if fault]


def _made(bindings: Iterable[Any]) -> list[Any]:
    """Returns the names of tasks that bindings make."""
    return [b.value for b in bindings if b.parameter == "name"]


def refuse_misspelt_task(
    args: argparse.Namespace, name: str | None, *, first: Sequence[str] = ()
) -> None:
    """Refuses the misspelt name of a task, which no gin file makes, before a framework is loaded.

    Args:
        args: what the parser of `add_gin` read.
        name: of the task; None is no name.
        first: gin files to read before the flags' own.

    Raises:
        ConfigError: naming the nearest task.
    """
    fault = None if modules(args) else misspelt_task(name)  # modules may register it
    if fault and name not in _made(scan(args, first=first).bindings):
        raise fault


def misspelt_task(name: Any, where: str = "") -> ConfigError | None:
    """Returns an error for a probably misspelt task name; registers no tasks."""
    from lm.data.registry import task_index

    near = task_index.misspelt(name) if isinstance(name, str) else None
    if near is None:
        return None
    return ConfigError(f"{where}no task {name!r}; did you mean {near!r}? (see `lm list tasks`)")


def above_zero(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Returns the argparse type of a positive number, such as `above_zero(int)`."""

    def read(text: str) -> Any:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
        return value

    read.__name__ = kind.__name__
    return read


def words(args: argparse.Namespace) -> list[str]:
    """Returns the flags of `add_gin` as given, for another `lm` command."""
    return [
        *(f"--gin_file={name}" for name in args.gin_file),
        *(f"--gin_bindings={text}" for text in args.gin_bindings),
        *(f"--gin_modules={names}" for names in args.gin_modules),
        f"--gin_search_paths={args.gin_search_paths}",
    ]


def run_config(workdir: str) -> list[str]:
    """Returns a list with the gin file of a run folder.

    Raises:
        ConfigError: there is none, so it is not a run folder.
    """
    path = Path(workdir) / "config.gin"
    if not path.is_file():
        raise ConfigError(f"{workdir} is not a run folder: it has no config.gin")
    return [str(path)]


def search_paths(args: argparse.Namespace) -> list[str]:
    """Returns the folders of gin files."""
    return split(args.gin_search_paths)


def modules(args: argparse.Namespace) -> list[str]:
    """Returns the modules of the user that gin files may import."""
    return split(",".join(args.gin_modules))


def split(names: str) -> list[str]:
    """Returns the non-empty items of a comma-separated list.

    Example:
        >>> split("a, b,")
        ['a', 'b']
    """
    return [part.strip() for part in names.split(",") if part.strip()]


def rewritten(words: Iterable[str]) -> list[str]:
    r"""Replaces `--gin.NAME=VALUE` by `--gin_bindings=NAME = VALUE`.

    T5X's escaped quotes are understood; a bare word or path becomes a string. T5X's macro MODEL_DIR
    becomes the flag `--workdir`.

    Example:
        >>> rewritten(["--gin.TRAIN_STEPS=5", "--gin.TASK=ptb"])
        ['--gin_bindings=TRAIN_STEPS = 5', "--gin_bindings=TASK = 'ptb'"]
        >>> rewritten([r'--gin.NAME=\"x y\"', r'--gin.MODEL_DIR=\"/x\"'])
        ['--gin_bindings=NAME = "x y"', '--workdir=/x']
    """
    return [_rewritten(word) for word in words]


def _rewritten(word: str) -> str:
    """Returns one word, rewritten if it is a binding."""
    match = _GIN_FLAG.match(word)
    if not match:
        return word
    name, value = match.groups()
    if not value:
        raise ConfigError(f"{word}: a binding is written --gin.NAME=VALUE")
    quoted = _quoted(value)
    if name == "MODEL_DIR" and _is_literal(quoted):
        return f"--workdir={ast.literal_eval(quoted)}"
    return f"--gin_bindings={name} = {quoted}"


def _quoted(value: str) -> str:
    """Returns the value as gin text, quoted if it is a bare word."""
    escaped = _ESCAPED_QUOTES.match(value)
    if escaped:
        return f"{escaped[1]}{escaped[2]}{escaped[1]}"
    if _GIN_VALUE.match(value) or _is_literal(value):
        return value
    return repr(value)


def _is_literal(value: str) -> bool:
    """Returns whether the value is a Python number, True, False or None."""
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return False
    return True
