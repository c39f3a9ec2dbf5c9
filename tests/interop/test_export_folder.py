"""`lm export`: a run folder becomes a folder that transformers loads, and back again."""

import json

import numpy as np
import pytest

from lm.cli.main import main
from lm.errors import ConfigError, UserError
from lm.interop.export_folder import export_folder, named
from lm.interop.import_folder import import_folder
from lm.interop.model_folder import read_folder
from lm.interop.tensor_files import read_tensors
from tests import tiny_run
from tests.interop import golden_folder


@pytest.mark.parametrize("name", golden_folder.CONFIGS)
def test_names_and_bytes_of_every_class_are_those_of_transformers(name, tmp_path):
    """By the tables alone: no model is built."""
    found = read_folder(golden_folder.write(name, tmp_path / name))
    again, before = named(found.variant, found.weights), golden_folder.read(name)
    assert again.keys() == before.keys()
    for tensor, array in before.items():
        np.testing.assert_array_equal(again[tensor], array, err_msg=tensor)


@pytest.mark.slow
@pytest.mark.parametrize("name", golden_folder.CONFIGS)
def test_there_and_back_again_are_the_same_bytes(name, tmp_path):
    source = golden_folder.write(name, tmp_path / "source")
    import_folder(source, tmp_path / "run")
    made = export_folder(tmp_path / "run", tmp_path / "again")
    before, after = read_tensors(source), read_tensors(tmp_path / "again")
    assert made.architecture == golden_folder.CONFIGS[name][1]
    assert made.difference == 0
    assert before.keys() == after.keys()
    for tensor, array in before.items():
        assert array.dtype == after[tensor].dtype
        np.testing.assert_array_equal(array, after[tensor], err_msg=tensor)
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    said = {key: config[key] for key in golden_folder.config(name)}
    assert said == golden_folder.config(name)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        copied = (tmp_path / "run" / "tokenizer" / file).read_bytes()
        assert (tmp_path / "again" / file).read_bytes() == copied


@pytest.fixture(scope="module")
def continues(tmp_path_factory):
    """A run of GPT-2 that was trained here, on bytes."""
    return tiny_run.make("continues", tmp_path_factory.mktemp("continues"))


def test_a_run_on_bytes_has_a_tokenizer_and_a_card(continues, tmp_path, capsys):
    target = tmp_path / "model"
    assert main(["export", f"--workdir={continues}", f"--to={target}"]) == 0
    assert "GPT2LMHeadModel; read back, its outputs differ by 0.0e+00" in capsys.readouterr().out
    config = json.loads((target / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (0, 1, 0)
    assert config["n_ctx"] == config["n_positions"] == 40
    card = (target / "README.md").read_text()
    assert "library_name: transformers" in card
    assert "| MIXTURE_OR_TASK_NAME | 'tiny_text' |" in card
    assert "exported at step 7" in card


def test_outputs_that_differ_are_refused_and_nothing_is_left(continues, tmp_path, monkeypatch):
    monkeypatch.setattr("lm.interop.export_folder.difference", lambda folder, source: 0.5)
    with pytest.raises(UserError, match="as GPT2LMHeadModel: its outputs differ by 0"):
        export_folder(continues, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_family_that_transformers_lacks_is_refused(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    tiny_run.make("answers", run)
    with pytest.raises(UserError, match="holds no model that transformers has"):
        export_folder(run, tmp_path / "model")


def test_an_existing_folder_is_left_alone(continues, tmp_path):
    with pytest.raises(ConfigError, match="is there already"):
        export_folder(continues, tmp_path)
