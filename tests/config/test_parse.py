"""Loading: order, scopes, flags, and writing back what was loaded."""

from pathlib import Path

import pytest

from lm import config
from lm.errors import ConfigError
from tests.config.conftest import GOOD, Load


def test_a_configured_call_sees_its_bindings(load: Load) -> None:
    model, steps, _ = load(GOOD).configured("parts.train")()
    assert steps == 10
    assert [layer.width for layer in model.layers] == [8]


def test_the_object_itself_stays_untouched(load: Load) -> None:
    load(GOOD)
    import parts

    assert parts.train() == (None, 1, ())


def test_later_files_win_and_flags_have_the_last_word(load: Load, workspace: Path) -> None:
    (workspace / "later.gin").write_text("STEPS = 20\n")
    options = {"modules": ["parts"], "roots": ["parts.train"]}
    assert load(GOOD).value("STEPS") == 10
    assert config.load(["run.gin", "later.gin"], **options).value("STEPS") == 20
    assert config.load(["run.gin", "later.gin"], ["STEPS = 30"], **options).value("STEPS") == 30


def test_an_include_counts_where_it_stands(load: Load, workspace: Path) -> None:
    (workspace / "size.gin").write_text("STEPS = 20\nWIDTH = 2\n")
    text = GOOD.replace("STEPS = 10", "WIDTH = 1\ninclude 'size.gin'\nSTEPS = 10")
    loaded = load(text)
    assert (loaded.value("STEPS"), loaded.value("WIDTH")) == (10, 2)


def test_a_file_may_name_what_lies_beside_it(load: Load, workspace: Path) -> None:
    (workspace / "below").mkdir()
    (workspace / "below" / "paths.gin").write_text("A = '{here}/a'\nB = ['{here}', 'x{here}']\n")
    loaded = load(GOOD.replace("STEPS = 10", "include 'below/paths.gin'\nSTEPS = 10"))
    assert loaded.value("A") == f"{Path.cwd() / 'below'}/a"
    assert loaded.value("B") == [str(Path.cwd() / "below"), "x{here}"]


def test_a_flag_finds_a_name_by_its_tail(load: Load) -> None:
    loaded = load(GOOD, "Layer.width = 3", "big/Model.depth = 2", "Layer.rate = 1")
    model, _, _ = loaded.configured("parts.train")()
    assert [(layer.width, layer.rate) for layer in model.layers] == [(3, 1), (3, 1)]


def test_a_flag_may_refer_to_what_no_file_names(load: Load) -> None:
    _, _, hooks = load(GOOD, "parts.train.hooks = [@parts.unused()]").configured("parts.train")()
    assert hooks == [0]


def test_a_factory_in_a_macro_is_called_in_its_users_scope(load: Load) -> None:
    text = GOOD.replace("= @parts.Layer\n", "= %LAYER\n")
    loaded = load(f"{text}LAYER = @parts.Layer\nbig/parts.Layer.rate = 0.5\n")
    model, _, _ = loaded.configured("parts.train")()
    assert model.layers[0].rate == 0.5


def test_names_may_be_taken_when_a_signature_is_open(load: Load) -> None:
    text = f"{GOOD}parts.train.hooks = [@parts.open_door()]\nparts.open_door.anything = 1\n"
    assert load(text).configured("parts.train")()[2] == [{"anything": 1}]


def test_a_second_load_replaces_the_first(load: Load) -> None:
    load(GOOD)
    again = load(GOOD.replace("parts.Layer.width = 8", "parts.Layer.width = 5"))
    assert again.configured("parts.train")()[0].layers[0].width == 5
    assert config.loaded() is again


def test_a_macro_that_is_missing_is_named_with_its_flag(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"no gin file defines MODEL; give --gin\.MODEL=VALUE"):
        load(GOOD).value("MODEL")


def test_required_is_judged_from_what_the_verb_calls(load: Load) -> None:
    text = f"{GOOD}OTHER = %gin.REQUIRED\nTHING = @parts.unused()\nparts.unused.value = %OTHER\n"
    assert load(text).value("STEPS") == 10
    with pytest.raises(ConfigError, match=r"run.gin:9: OTHER is required and not set"):
        load(text, roots=["parts.train", "THING"])


@pytest.mark.parametrize(
    "value",
    [
        "[1, (2,), {'a': [@parts.unused, @x/y/parts.unused()]}]",
        '"it\'s \\n a \\"quote\\" and ünïcode"',
        "1e999",
        "-1e-7",
        "{1: None, (2, 3): True}",
        "()",
        "[%STEPS, {'deep': %STEPS}]",
        f"[{', '.join(repr('x' * 30) for _ in range(9))}]",
    ],
)
def test_written_back_it_loads_to_the_same(value: str, load: Load, workspace: Path) -> None:
    first = load(f"{GOOD}parts.train.hooks = [{value}]\n")
    again = load(first.text())
    assert again.text() == first.text()
    assert {b.key: b.value for b in again.bindings} == {b.key: b.value for b in first.bindings}
    assert config.config_str() == first.text()


def test_two_modules_of_one_name_are_told_apart(load: Load, workspace: Path) -> None:
    package = workspace / "more"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("def hook(*, size: int = 1):\n    return size\n")
    text = (
        f"{GOOD}from more import parts as others\n"
        "parts.train.hooks = [@others.hook()]\nothers.hook.size = 7\n"
    )
    first = load(text, modules=["parts", "more"])
    again = load(first.text(), modules=["parts", "more"])
    assert again.text() == first.text()
    assert again.configured("parts.train")()[2] == [7]


def test_the_operative_configuration_holds_what_was_used(load: Load) -> None:
    load(GOOD).configured("parts.train")()
    text = config.operative_config_str()
    assert "parts.Layer.rate = 0.0" in text
    assert "unused" not in text


def test_the_packages_own_files_are_found_by_both_names(workspace: Path) -> None:
    from lm.config.scanner import scan

    short, long = (scan([f"{start}models/gpt2/small.gin"]).bindings for start in ("", "gin/"))
    assert short == long
    assert any(binding.written == "NUM_LAYERS" for binding in short)


@pytest.mark.slow
def test_a_model_written_back_loads_to_the_same(workspace: Path) -> None:
    first = config.load(["models/t5/small.gin"], roots=["MODEL"])
    (workspace / "config.gin").write_text(first.text())
    again = config.load(["config.gin"], roots=["MODEL"])
    assert again.text() == first.text()
    assert callable(again.value("MODEL"))
