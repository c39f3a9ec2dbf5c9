"""The command line's frame: help without frameworks, one-line errors, exit codes."""

import argparse
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import lm
from lm import resources
from lm.cli import main as frame
from lm.cli.main import main
from lm.errors import ConfigError, UserError

ROOT = Path(lm.__file__).parent.parent
FRAMEWORKS = ("keras", "tensorflow", "jax", "seqio", "numpy", "torch", "gin")

# A verb in a process of its own: prepares `lm.cli.fake` whose `run` is what the test says.
FAKE = """
import sys, time
from types import ModuleType
from lm.cli import main as frame
fake = ModuleType("lm.cli.fake")
fake.HELP, fake.add_arguments = "nothing", lambda parser: None
def run(args):
{body}
fake.run = run
sys.modules["lm.cli.fake"] = fake
frame.VERBS = ("fake",)
sys.exit(frame.main(["fake"]))
"""


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own, from the checkout."""
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )


def fake(body: str) -> str:
    """The code of a process that runs the fake verb."""
    return FAKE.format(body="\n".join(f"    {line}" for line in body.splitlines()))


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A verb whose `run` a test replaces."""
    module = ModuleType("lm.cli.fake")
    module.HELP = "does nothing"  # type: ignore[attr-defined]
    module.EXAMPLE = "example:\n  lm fake --number=3"  # type: ignore[attr-defined]
    module.add_arguments = (  # type: ignore[attr-defined]
        lambda parser: parser.add_argument("--number", type=int, default=0, help="a number")
    )
    module.run = lambda args: args.number  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lm.cli.fake", module)
    monkeypatch.setattr(frame, "VERBS", ("fake",))
    monkeypatch.setattr(frame.quiet, "install", lambda: None)
    yield module


def test_help_loads_no_framework_and_is_quick() -> None:
    code = (
        "import sys; from lm.cli.main import main; code = main(['--help']);"
        f"print([name for name in {FRAMEWORKS} if name in sys.modules]); sys.exit(code)"
    )
    start = time.perf_counter()
    done = python(code)
    assert time.perf_counter() - start < 5  # under one on a machine of its own
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"  {verb} " in done.stdout for verb in frame.VERBS)


@pytest.mark.parametrize("name", frame.VERBS)
def test_every_verb_has_help_with_an_example_and_no_framework(name: str) -> None:
    code = (
        f"import sys; from lm.cli.main import main; main([{name!r}, '--help']);"
        f"print([name for name in {FRAMEWORKS} if name in sys.modules])"
    )
    done = python(code)
    assert done.stdout.splitlines()[-1] == "[]"
    assert f"lm {name} " in done.stdout.partition("example")[2]


def test_importing_the_package_loads_no_framework() -> None:
    done = python(f"import lm, sys; print([n for n in {FRAMEWORKS} if n in sys.modules])")
    assert done.stdout == "[]\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lm {lm.__version__}\n"


def test_a_command_rarely_searches_for_garbage() -> None:
    code = "import gc; from lm.cli.main import main; main(); print(gc.get_threshold()[0])"
    found = python(f"import sys; sys.argv = ['lm', '--version']; {code}")
    assert found.stdout.split()[-1] == str(frame.GARBAGE_THRESHOLD)


def test_python_m_lm_is_the_command() -> None:
    command = [sys.executable, "-m", "lm", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == f"lm {lm.__version__}\n"


def test_the_verbs_result_is_the_exit_code(verb: ModuleType) -> None:
    assert main(["fake"]) == 0
    assert main(["fake", "--number=1"]) == 1


def test_help_of_a_verb(verb: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fake", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "lm fake --number=3" in shown
    assert "does nothing" in shown


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["fke"], "unknown command 'fke'; did you mean 'fake'? (see `lm --help`)"),
        (["fake", "--nmber=3"], "unrecognized arguments: --nmber=3 (see `lm fake --help`)"),
        (
            ["fake", "--number=x"],
            "argument --number: invalid int value: 'x' (see `lm fake --help`)",
        ),
        (["fake", "--num=3"], "unrecognized arguments: --num=3 (see `lm fake --help`)"),
        (["fake", "--gin.X"], "--gin.X: a binding is written --gin.NAME=VALUE"),
    ],
)
def test_wrong_usage_is_one_line(
    words: list[str], wanted: str, verb: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert capsys.readouterr() == ("", f"lm: error: {wanted}\n")


@pytest.mark.parametrize(
    ("error", "code", "wanted"),
    [
        (UserError("data.txt:3: is wrong"), 1, "data.txt:3: is wrong"),
        (ConfigError("run.gin:3:\n  is wrong"), 2, "run.gin:3: is wrong"),
        (FileNotFoundError(2, "No such file", "x.txt"), 1, "x.txt: No such file"),
        (ValueError("bad\nvalue"), 1, "ValueError: bad value (--debug shows the traceback)"),
        (
            UserError("no data\n  In call to configurable 'train' (<function train at 0x1>)"),
            1,
            "no data",
        ),
        (
            TypeError("x\n  In call to configurable 'X' (<class 'X'>) in scope 'decoder'"),
            1,
            "TypeError: x in scope 'decoder' (--debug shows the traceback)",
        ),
        (
            ValueError(
                "Exception encountered when calling Outer.call().\n\n\x1b[1mCould not infer. "
                "Error encountered:\n\nException encountered when calling Inner.call().\n\n"
                "\x1b[1m2 and 4 differ.\x1b[0m\n\nArguments received by Inner.call():\n"
                "  • x=1\x1b[0m\n\nArguments received by Outer.call():\n  • x=1"
            ),
            1,
            "ValueError: Inner.call(). 2 and 4 differ. (--debug shows the traceback)",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    error: BaseException,
    code: int,
    wanted: str,
    verb: ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(args: object) -> int:
        raise error

    verb.run = run  # type: ignore[attr-defined]
    assert main(["fake"]) == code
    assert capsys.readouterr().err == f"lm: error: {wanted}\n"


def test_what_an_error_lists_stands_on_lines_of_its_own(
    verb: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        error = UserError("two things changed")
        error.add_note("a was 1, is 2")
        error.add_note("b was 3, is 4")
        raise error

    verb.run = run  # type: ignore[attr-defined]
    assert main(["fake"]) == 1
    told = "lm: error: two things changed\n  a was 1, is 2\n  b was 3, is 4\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("words", [["--debug", "fake"], ["fake", "--debug"]])
def test_debug_shows_the_traceback(
    words: list[str], verb: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        raise UserError("wrong")

    verb.run = run  # type: ignore[attr-defined]
    assert main(words) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("lm: error: wrong\n")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_with_its_code(number: signal.Signals, code: int) -> None:
    # A shell starts what runs in its background with SIGINT ignored, for its children too.
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", heard + fake("print('ready', flush=True)\ntime.sleep(30)")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(timeout=10) == code
        assert "Traceback" not in process.stderr.read()


def test_a_closed_pipe_is_quiet() -> None:
    command = [sys.executable, "-c", fake("for n in range(100000): print(n)\nreturn 0")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=10) == 1
        assert process.stderr.read() == ""


def _flags(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All flags of a parser and of the commands below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _flags(below)
        else:
            yield action


@pytest.mark.parametrize("verb", frame.VERBS)
def test_every_flag_says_what_it_does(verb: str) -> None:
    told = {
        "/".join(a.option_strings) or a.dest: a.help or "" for a in _flags(frame.verb_parser(verb))
    }
    assert {name for name, text in told.items() if len(text.split()) < 2} == set()


def test_the_shell_completes_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion"]) == 0
    script = capsys.readouterr().out
    ask = "COMP_WORDS=(lm {}); COMP_CWORD={}; _lm; echo ${{COMPREPLY[@]}}"
    asked = [("tr", 1), ("train --allow", 2), ("list mod", 2), ("tokenizer tr", 2)]
    code = script + "\n".join(ask.format(*words) for words in asked)
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["train", "--allow-change", "models", "train"]


@pytest.mark.parametrize("verb", frame.VERBS)
def test_the_gin_files_of_an_example_exist(verb: str) -> None:
    """Those of ours: a user's own lie in no folder, or in `runs/`."""
    text = getattr(frame._module(verb), "EXAMPLE", "")
    named = re.findall(r"(?:--gin_file=| )((?:models|papers|data|optim|mesh|bench)/\S+\.gin)", text)
    assert [name for name in named if not (resources.gin_folder() / name).is_file()] == []
