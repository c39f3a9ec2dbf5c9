"""`lm import`: a Hugging Face folder becomes a run folder, on which every verb works."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

import lm
from lm import checkpoint
from lm.cli.main import main
from lm.config import parse
from lm.errors import ConfigError
from lm.interop.import_folder import import_folder
from tests.engine import assert_near
from tests.interop import golden_folder

QUICK = {"bert"}
# The reference of "switch" drops tokens, as ours does in training alone: see test_live_folders.
CASES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in golden_folder.CONFIGS
    if name != "switch"
]


def made_by(workdir, features):
    """Returns what the model of a run folder makes of a batch."""
    model = parse.load([str(workdir / "config.gin")], roots=["MODEL"]).value("MODEL")()
    model(features)
    checkpoint.load_weights(model, checkpoint.find(workdir))
    return model(features, training=False)


@pytest.mark.parametrize("name", CASES)
def test_the_imported_model_makes_what_transformers_makes(name, tmp_path):
    source = golden_folder.write(name, tmp_path / name)
    import_folder(source, tmp_path / "run")
    features = golden_folder.read(name, "features/")
    reference = golden_folder.read(name, "")
    real = np.abs(reference["cotangent"]).sum(-1, keepdims=True) > 0
    found = made_by(tmp_path / "run", features)
    assert_near(np.asarray(found) * real, reference["outputs"] * real, 2e-5)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    import_folder(golden_folder.write("gpt2", folder / "source"), folder / "run")
    return folder


def test_the_run_has_a_short_gin_file_a_whole_one_and_the_source_s_config(gpt2):
    model = (gpt2 / "run" / "model.gin").read_text()
    assert "include 'models/gpt2/architecture.gin'" in model
    assert "HIDDEN_DIM = 16" in model
    assert "START_TOKEN = 3" in (gpt2 / "run" / "config.gin").read_text()
    again = json.loads((gpt2 / "run" / "huggingface.json").read_text())
    assert again == golden_folder.config("gpt2")


def test_the_run_may_be_moved(gpt2, tmp_path):
    assert not [f for f in (gpt2 / "run").glob("*.gin") if str(gpt2) in f.read_text()]
    moved = shutil.copytree(gpt2 / "run", tmp_path / "elsewhere")
    config = parse.load([str(moved / "config.gin")], roots=["MODEL"])
    assert config.value("VOCABULARY").folder == moved / "tokenizer"
    assert config.value("INITIAL_CHECKPOINT_PATH") == str(moved)


def test_a_decoder_begins_with_the_tokenizer_s_first_token(gpt2):
    trained = lm.load(gpt2 / "run").trained
    packed = trained.input_format.pack_prompts([[7, 8]], 4)["decoder_input_tokens"]
    assert packed.tolist() == [[3, 7, 8, 0]]
    packed = trained.input_format.pack_pairs([([], [7, 8, 9])], 0, 4)["decoder_input_tokens"]
    assert packed.tolist() == [[3, 7, 8, 0]]


@pytest.mark.slow
def test_a_text_is_scored_and_continued_after_that_token(gpt2):
    run = lm.load(gpt2 / "run")
    tokens = run.trained.ids("abc", "targets", add_eos=False)
    assert tokens == [7, 8, 9]
    read = np.array([[3, 7, 8]], "int32")
    logits = np.asarray(run.trained.model({"decoder_input_tokens": read}), "float64")[0]
    probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = probabilities[range(3), tokens].sum()
    (found,) = run.score([{"text": "abc"}], add_eos=False)
    assert found.log_likelihood == pytest.approx(expected, rel=1e-5)
    (generated,) = run.generate(["abc"], max_new_tokens=1).candidates
    assert generated[0].tokens == [int(np.argmax(_last(run, [3, 7, 8, 9])))]


def _last(run, tokens):
    return np.asarray(run.trained.model({"decoder_input_tokens": np.array([tokens], "int32")}))[
        0, -1
    ]


def test_the_verb_says_what_it_made_and_what_it_left_out(tmp_path, capsys):
    source = golden_folder.write("gpt2", tmp_path / "source")
    tensors = {f"model.{n}": x for n, x in golden_folder.read("gpt2").items()}  # another prefix
    tensors["lm_head.weight"] = tensors["model.transformer.wte.weight"]
    tensors["transformer.h.0.attn.masked_bias"] = np.zeros((), "float32")
    save_file(tensors, source / "model.safetensors")
    assert main(["import", f"--from={source}", f"--workdir={tmp_path / 'run'}"]) == 0
    out = capsys.readouterr().out
    assert "GPT2LMHeadModel, 4,976 parameters" in out
    assert "left out: transformer.h.0.attn.masked_bias" in out


def test_an_existing_folder_is_left_alone(gpt2):
    with pytest.raises(ConfigError, match="is there already"):
        import_folder(gpt2 / "source", gpt2 / "run")


def test_weights_without_a_head_are_for_fine_tuning(tmp_path):
    import_folder(golden_folder.write("bert", tmp_path / "source"), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"no objective: fine-tune it .*model\.gin"):
        lm.load(tmp_path / "run")
