"""Shared gin flags: T5X's spelling, t5's names, bare words."""

import argparse

import pytest

from lm.cli import flags
from lm.errors import ConfigError


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("--gin.TRAIN_STEPS=5", "TRAIN_STEPS = 5"),
        ("--gin.RATE=1e-3", "RATE = 1e-3"),
        ("--gin.FAST=True", "FAST = True"),
        ("--gin.NAME=None", "NAME = None"),
        ("--gin.NAME='quoted'", "NAME = 'quoted'"),
        (r"--gin.DIR=\"/x y\"", 'DIR = "/x y"'),
        ("--gin.DIR=/tmp/x=y", "DIR = '/tmp/x=y'"),
        ("--gin.TASK=multi30k_ende", "TASK = 'multi30k_ende'"),
        ("--gin.TASK=it's", 'TASK = "it\'s"'),
        ("--gin.DATE=2020-01-02", "DATE = '2020-01-02'"),
        ("--gin.a/b/X.y=@c/D()", "a/b/X.y = @c/D()"),
        ("--gin.X.y=%MACRO", "X.y = %MACRO"),
        ("--gin.X.y=[1, 2", "X.y = [1, 2"),
        ("--gin.LENGTHS={'inputs': 8}", "LENGTHS = {'inputs': 8}"),
    ],
)
def test_a_binding_is_rewritten(word: str, wanted: str) -> None:
    assert flags.rewritten([word]) == [f"--gin_bindings={wanted}"]


@pytest.mark.parametrize("word", ["--gin_file=a.gin", "--ginger", "--gin", "name"])
def test_other_words_stay(word: str) -> None:
    assert flags.rewritten([word]) == [word]


@pytest.mark.parametrize("word", ["--gin.X", "--gin.X="])
def test_a_binding_without_value_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=r"--gin\.NAME=VALUE"):
        flags.rewritten([word])


@pytest.mark.parametrize("value", ["/tmp/run", '"/tmp/run"', r"\"/tmp/run\"", "'/tmp/run'"])
def test_model_dir_is_the_workdir(value: str) -> None:
    assert flags.rewritten([f"--gin.MODEL_DIR={value}"]) == ["--workdir=/tmp/run"]


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    flags.add_gin(parser)
    flags.add_workdir(parser, required=False)
    return parser.parse_args(flags.rewritten(words))


def test_flags_repeat_and_lists_split() -> None:
    args = parsed(
        "--gin_file=a.gin",
        "--gin_file=b.gin",
        "--gin.N=1",
        "--gin_bindings=M = 2",
        "--gin_search_paths=x,y",
        "--gin_modules=p, q",
    )
    assert args.gin_file == ["a.gin", "b.gin"]
    assert args.gin_bindings == ["N = 1", "M = 2"]
    assert flags.search_paths(args) == ["x", "y"]
    assert flags.modules(args) == ["p", "q"]


def test_t5_names_are_understood() -> None:
    args = parsed("--gin_param=N = 1", "--module_import=tasks_of_mine", "--model_dir=/tmp/run")
    assert args.gin_bindings == ["N = 1"]
    assert flags.modules(args) == ["tasks_of_mine"]
    assert args.workdir == "/tmp/run"


def test_a_folder_without_configuration_is_no_run(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match=r"has no config\.gin"):
        flags.run_config(str(tmp_path))
