"""The console script `lm`: runs a verb and turns errors into one line and an exit code.

A verb is a module `lm.cli.<verb>` with `HELP` (one line), `add_arguments(parser)`,
`run(args) -> int` and, as a rule, `EXAMPLE`. Importing it is cheap; what needs a framework is
imported inside `run`.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 129 SIGHUP, 130 interrupted (SIGINT),
143 SIGTERM.
"""

import argparse
import gc
import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NoReturn, TextIO

import lm
from lm import quiet
from lm.cli import compilation_cache, flags, huge_pages, output, signals
from lm.errors import ConfigError, UserError

VERBS = (
    "train",
    "eval",
    "generate",
    "chat",
    "score",
    "predict",
    "embed",
    "vectors",
    "import",
    "export",
    "summary",
    "list",
    "show",
    "tokenizer",
    "config",
    "bench",
    "verify-resume",
    "doctor",
    "compare",
    "compare-pretraining",
    "plot",
    "self-train",
    "results",
    "harness",
    "completion",
)
LONG_RUNNING = ("train", "eval", "generate", "chat", "score", "predict", "embed", "bench")
FAILED, HUNG_UP = 1, 129
# New objects between two searches for garbage cycles. Frameworks make millions that stay; searching
# after every 700, Python's default, took a tenth of the time to the first step.
GARBAGE_THRESHOLD = 100_000
_ENDS = {KeyboardInterrupt: ("interrupted", 130), signals.Terminated: ("terminated", 143)}
# gin appends the calls that an error passed through, with memory addresses.
_GIN_TRAIL = "\n  In call to configurable"
# Keras prepends every enclosing call to an error message, in bold, and appends their arguments.
_KERAS_CALLS = re.compile(
    r"\x1b\[\dm|.*Exception encountered when calling |Arguments received by .*"
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one-line ConfigErrors."""

    def error(self, message: str) -> NoReturn:
        """Raises the error; argparse would print the usage and exit."""
        raise ConfigError(f"{message} (see `{self.prog} --help`)")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Args:
        argv: the words after `lm`; by default those of the process.

    Example:
        >>> main(["--version"])  # doctest: +ELLIPSIS
        lm ...
        0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        gc.set_threshold(GARBAGE_THRESHOLD)
    if argv is None and words[:1] and words[0] in LONG_RUNNING:
        huge_pages.restart()
        if words[0] != "bench":  # which measures the compile time
            compilation_cache.start()
    is_debug = "--debug" in words
    output.show_warnings()
    if not is_debug:
        quiet.install()
    with signals.terminated():
        command = [word for word in words if word != "--debug"]
        return _guarded(lambda: _command(command), is_debug=is_debug)


def _command(words: list[str]) -> int:
    """Parses the words and runs the verb that they name."""
    verb, *rest = words or ["--help"]
    if verb == "--version":
        print(f"lm {lm.__version__}")
        return 0
    if verb in ("-h", "--help"):
        print(_overview())
        return 0
    args = verb_parser(verb).parse_args(flags.rewritten(rest))
    return args.run(args) or 0


def verb_parser(verb: str) -> Parser:
    """Returns the parser of a verb; imports only that verb's module."""
    if verb not in VERBS:
        from lm.config.names import did_you_mean

        raise ConfigError(f"unknown command '{verb}'{did_you_mean(verb, VERBS)} (see `lm --help`)")
    module = _module(verb)
    parser = Parser(
        prog=f"lm {verb}",
        description=module.HELP,
        epilog=getattr(module, "EXAMPLE", None),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks and framework logs")
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


def _module(verb: str) -> ModuleType:
    """Imports the module of a verb."""
    return importlib.import_module(f"lm.cli.{verb.replace('-', '_')}")


def _overview() -> str:
    """Returns the text of `lm --help`."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}} {_module(verb).HELP}" for verb in VERBS)
    return (
        "usage: lm [--version] [--help] COMMAND [...] [--debug]\n\n"
        "Train, decode, evaluate and compare language models from gin files.\n\n"
        f"commands:\n{verbs}\n\n"
        "`lm COMMAND --help` shows the flags of a command and an example.\n\n"
        "example:\n  lm train --gin_file=quickstart.gin --workdir=runs/quickstart"
    )


def _guarded(command: Callable[[], int], *, is_debug: bool) -> int:
    """Runs the command and returns its exit code; prints errors as one line."""
    try:
        code = command()
        sys.stdout.flush()
        return code
    except tuple(_ENDS) as end:
        return _complain(*_ENDS[type(end)])
    except signals.HungUp:
        return _abandoned(sys.stdout, sys.stderr, code=HUNG_UP)
    except BrokenPipeError:
        return _abandoned(sys.stdout, code=FAILED)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED * bool(stop.code)
    except Exception as error:
        if is_debug:
            traceback.print_exc()
        return _complain(one_line(error), getattr(error, "exit_code", FAILED), _notes(error))


def _complain(message: str, code: int, notes: Sequence[str] = ()) -> int:
    """Prints the error line and its notes; returns the code."""
    print(f"lm: error: {message}", *notes, sep="\n  ", file=sys.stderr)
    return code


def _notes(error: Exception) -> Sequence[str]:
    """Returns the notes of a UserError."""
    return getattr(error, "__notes__", ()) if isinstance(error, UserError) else ()


def one_line(error: Exception) -> str:
    """Returns the message of an error in one line; prefixes the type unless it is a UserError."""
    message, _, calls = str(error).partition(_GIN_TRAIL)
    text = _KERAS_CALLS.sub("", " ".join(message.split())).strip()
    if isinstance(error, UserError):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    scope = re.search(r"in scope '[^']*'", calls)
    where = f" {scope[0]}" if scope else ""
    kind = type(error).__name__
    return f"{kind}: {text or 'no message'}{where} (--debug shows the traceback)"


def _abandoned(*streams: TextIO, code: int) -> int:
    """Redirects streams without a reader to /dev/null, so that the flush at exit cannot fail."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code
