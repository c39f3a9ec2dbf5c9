"""A wrong configuration ends in one line that names file, line, binding and the nearest name."""

from pathlib import Path

import pytest

from lm import config
from lm.errors import ConfigError
from tests.config.conftest import GOOD, Load

# What is appended to the good file (its ninth line), and what the message must say.
WRONG_LINES = {
    "unknown name": ("parts.Laier.width = 1", "run.gin:9", "did you mean 'Layer'?"),
    "unknown import": ("part.Layer.rate = 0.5", "run.gin:9", "did you mean 'parts.Layer'?"),
    "name without import": ("Layer.rate = 0.5", "run.gin:9", "no import provides 'Layer'"),
    "unknown parameter": ("parts.Layer.widht = 1", "run.gin:9", "did you mean 'width'?"),
    "unknown parameter, far": ("parts.Layer.zzz = 1", "run.gin:9", "it takes width, rate"),
    "unknown reference": ("parts.train.hooks = [@parts.Unsed]", "run.gin:9", "mean 'unused'?"),
    "reference, no import": ("parts.train.hooks = [@prts.Layer]", "run.gin:9", "'parts.Layer'?"),
    "unknown macro": ("parts.Layer.rate = %RAET", "run.gin:9", "%RAET, which nothing defines"),
    "misspelt macro": ("parts.Layer.name = %STEP", "run.gin:9", "did you mean 'STEPS'?"),
    "nested unknown macro": ("parts.Layer.sizes = [1, (%STPS,)]", "run.gin:9", "'STEPS'?"),
    "macro cycle of one": ("LOOP = %LOOP", "run.gin:9", "%LOOP -> %LOOP"),
    "macro cycle of two": ("A = [%B]\nB = {'x': %A}", "run.gin:", "%A -> %B -> %A"),
    "required": ("parts.Layer.rate = %gin.REQUIRED", "run.gin:9", "--gin.parts.Layer.rate=VALUE"),
    "required macro": ("R = %gin.REQUIRED\nparts.Layer.rate = %R", "run.gin:9", "--gin.R=VALUE"),
    "required in a list": ("parts.train.hooks = [%gin.REQUIRED]", "run.gin:9", "is required"),
    "duplicate": ("parts.Layer.width = 9", "run.gin:9", "line 8 of the same file"),
    "duplicate macro": ("STEPS = 11", "run.gin:9", "line 4 of the same file"),
    "duplicate in a block": ("parts.Layer:\n    width = 3", "run.gin:10", "bound twice"),
    "scope typo": ("bgi/parts.Model.depth = 2", "run.gin:9", "did you mean 'big'?"),
    "unreached scope": ("eval/parts.train.steps = 2", "run.gin:9", "parts.train is called in no"),
    "unused configurable": ("parts.unused.value = 2", "run.gin:9", "refers to @parts.unused"),
    "unused typo of a macro": ("STESP = 11", "run.gin:9", "did you mean 'STEPS'?"),
    "string for an integer": ("big/parts.Model.depth = '5'", "run.gin:9", "an integer, not '5'"),
    "float for an integer": ("big/parts.Model.depth = 1e3", "run.gin:9", "an integer, not 1000.0"),
    "bool for an integer": ("big/parts.Model.depth = True", "run.gin:9", "an integer, not True"),
    "string for a number": ("parts.Layer.rate = '0.1'", "run.gin:9", "a number, not '0.1'"),
    "integer for a string": ("parts.Layer.name = 3", "run.gin:9", "a string or None, not 3"),
    "integer for a bool": ("parts.train.fast = 1", "run.gin:9", "takes True or False, not 1"),
    "none for an integer": ("big/parts.Model.depth = None", "run.gin:9", "an integer, not None"),
    "no such choice": ("parts.Layer.kind = 'wild'", "run.gin:9", "'wide' or 'deep', not 'wild'"),
    "string for a list": ("parts.train.hooks = 'a'", "run.gin:9", "not 'a'"),
    "wrong list item": ("parts.Layer.sizes = [1, 'b']", "run.gin:9", "not [1, 'b']"),
    "out of range": ("parts.Layer.drop = 1.0", "run.gin:9", "a number from 0 to below 1, not 1.0"),
    "value out of range": (
        "parts.Layer.lengths = {'inputs': 8, 'targets': 0}",
        "run.gin:9: parts.Layer.lengths takes a dictionary whose every value is an integer from 1",
    ),
    "list for a dict": ("parts.Layer.table = [1]", "run.gin:9", "not [1]"),
    "literal for a factory": ("parts.Model.layer = 3", "run.gin:9", "a reference (@name), not 3"),
    "literal for an object": (
        "big/parts.Model.head = 3",
        "run.gin:9",
        "takes a Layer or None, not 3",
    ),
    "factory for an object": (
        "big/parts.Model.head = @parts.Layer",
        "run.gin:9: big/parts.Model.head takes a Layer or None, not the factory",
        "(a call ends with `()`)",
    ),
    "literal among factories": (
        "big/parts.Model.parts = [3]",
        "run.gin:9: big/parts.Model.parts takes a list whose every item is a reference (@name)",
    ),
    "factory for an integer": ("big/parts.Model.depth = @parts.unused", "run.gin:9", "`()`"),
    "through a macro": ("W = 'x'\nparts.Layer.rate = %W", "run.gin:10", "set in run.gin:9"),
    "unquoted string": ("parts.Layer.name = wide", "run.gin:9", "quote strings"),
    "expression": ("parts.Layer.width = 1 + 1", "run.gin:9", "gin has no arithmetic"),
    "call with arguments": ("parts.train.hooks = @parts.unused(3)", "run.gin:9", "Expected ')'"),
    "open bracket": ("parts.Layer.sizes = [1, 2", "run.gin:", "EOF"),
    "no value": ("parts.Layer.rate =", "run.gin:9", "not a value"),
    "no equals sign": ("parts.Layer.rate 3", "run.gin:9", "expected NAME = VALUE"),
    "bad indentation": ("parts.Layer:\nrate = 0.5", "run.gin:10", "Expected indentation"),
    "bad scope": ("a//parts.Layer.rate = 0.5", "run.gin:9", "expected NAME = VALUE"),
    "missing include": ("include 'missing.gin'", "run.gin:9", "no such file"),
    "misspelt include": ("include 'models/gpt2/smal.gin'", "run.gin:9", "models/gpt2/small.gin'?"),
    "included folder": ("include 'models/gpt2'", "run.gin:9", "is a folder"),
    "include of itself": ("include 'run.gin'", "run.gin:9", "includes itself"),
    "missing module": ("import parts.nothing", "run.gin:9", "no module 'parts.nothing'"),
    "module of a package": (
        "from lm.data import packing",
        "run.gin:9",
        "did you mean 'lm.data.rows.packing'?",
    ),
    "module of a package, one refused": (
        "from lm import generate",
        "run.gin:9",
        "did you mean 'lm.inference.generate'?",
    ),
    "object as a module": ("from parts import Layer", "run.gin:9", "then @parts.Layer"),
    "constant": ("parts.train.hooks = [@parts.CONSTANT]", "run.gin:9", "not a class or function"),
}

WRONG_FLAGS = {
    "unknown macro": (
        "STESP = 1",
        "--gin.STESP: nothing uses the macro STESP; did you mean 'STEPS'",
    ),
    "unknown name": ("trian.steps = 1", "did you mean 'train'?"),
    "unknown parameter": (
        "parts.train.step = 1",
        "--gin.parts.train.step: ",
        "did you mean 'steps'?",
    ),
    "type": ("STEPS = 1e3", "takes an integer, not 1000.0, set in --gin.STEPS"),
    "unused": ("parts.unused.value = 1", "--gin.parts.unused.value: ", "is never used"),
    "two bindings of one name": ("Layer = [1", "--gin.Layer: "),
}


def message(error: pytest.ExceptionInfo[ConfigError]) -> str:
    """The text of an error, which must be one line."""
    text = str(error.value)
    assert "\n" not in text
    assert error.value.exit_code == 2
    return text


@pytest.mark.parametrize("name", WRONG_LINES)
def test_a_wrong_line_is_named(name: str, load: Load) -> None:
    line, *wanted = WRONG_LINES[name]
    with pytest.raises(ConfigError) as error:
        load(f"{GOOD}{line}\n")
    text = message(error)
    assert all(part in text for part in wanted), text


@pytest.mark.parametrize("name", WRONG_FLAGS)
def test_a_wrong_flag_is_named(name: str, load: Load) -> None:
    binding, *wanted = WRONG_FLAGS[name]
    with pytest.raises(ConfigError) as error:
        load(GOOD, binding)
    text = message(error)
    assert all(part in text for part in wanted), text


def test_a_name_that_no_file_knows_is_not_put_under_another_import(load: Load) -> None:
    with pytest.raises(ConfigError) as error:
        load(GOOD, "nowhere.Optimizer.rate = 1")
    assert message(error).endswith("nothing that the files import is called 'nowhere.Optimizer'")


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"\xef\xbb\xbfA = 1\n", "bad.gin:1: begins with a byte-order mark"),
        ("A = 1\n".encode("utf-16"), "bad.gin:1: begins with a byte-order mark"),
        (b"A = 1\nB = 2\0\n", "bad.gin:2: holds a NUL byte"),
        (b"A = 1\nB = '\xff'\n", "bad.gin:2: is not UTF-8"),
        (b"A = " + b"[" * 5000 + b"]" * 5000, "nested"),
    ],
    ids=["bom", "utf-16", "nul", "latin-1", "deep"],
)
def test_a_file_that_is_no_text_is_named(data: bytes, wanted: str, workspace: Path) -> None:
    (workspace / "bad.gin").write_bytes(data)
    with pytest.raises(ConfigError) as error:
        config.load(["bad.gin"])
    assert wanted in message(error)


def test_a_missing_file_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'models/gpt2/small\.gin'"):
        config.load(["models/gpt2/smal.gin"])


def test_a_missing_search_path_is_named() -> None:
    with pytest.raises(ConfigError, match="--gin_search_paths: /nowhere: no such folder"):
        config.load([], search_paths=["/nowhere"])


def test_an_import_that_fails_says_why(workspace: Path) -> None:
    (workspace / "broken.py").write_text("raise RuntimeError('no luck')\n")
    with pytest.raises(ConfigError, match="--gin_modules: importing 'broken' fails: RuntimeError"):
        config.load([], modules=["broken"])
