"""Folders that transformers writes and reads, and a run of ours that it continues as we do."""

import importlib
import json

import numpy as np
import pytest

import lm
from lm.interop.export_folder import export_folder
from lm.interop.import_folder import import_folder
from lm.interop.tensor_files import read_tensors
from tests import tiny_run
from tests.engine import assert_near
from tests.interop.test_import_folder import made_by

NAMES = """gpt2 bert_masked bert bert_classifier t5 t5_1_1 electra electra_generator
electra_classifier xlnet xlnet_classifier funnel funnel_masked funnel_base funnel_classifier
switch""".split()
PROMPTS = ["ab", "a bc ab", "cab", "b", "abc abc"]
pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch", reason="needs the extra `parity`")
    return pytest.importorskip("transformers")


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_again_by_transformers(name, transformers, tmp_path):
    folders = importlib.import_module("tests.golden.folders")
    source = folders.make(name, tmp_path / "source", folders.TINY)
    with np.load(source / "probe.npz") as file:
        features = dict(file)
    expected = features.pop("outputs")
    import_folder(source, tmp_path / "run")
    found = np.asarray(made_by(tmp_path / "run", features))
    assert_near(found.reshape(expected.shape), expected, 2e-6)

    target = tmp_path / "again"
    export_folder(tmp_path / "run", target)
    before, after = read_tensors(source), read_tensors(target)
    assert before.keys() == after.keys()
    assert all(before[key].tobytes() == after[key].tobytes() for key in before)
    config = json.loads((target / "config.json").read_text())
    model = getattr(transformers, config["architectures"][0]).from_pretrained(target).eval()
    words = transformers.AutoTokenizer.from_pretrained(source)
    again = folders.probe(model, config["model_type"], len(words))["outputs"]
    assert_near(again, expected, 2e-6)
    read = transformers.AutoTokenizer.from_pretrained(target)
    assert read(folders.TEXT).input_ids == words(folders.TEXT).input_ids


def test_transformers_continues_a_run_of_ours_as_we_do(transformers, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    workdir = tiny_run.make("continues", run)
    export_folder(workdir, tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    ours = lm.load(workdir).generate(PROMPTS, max_new_tokens=8, temperature=0.0)
    for prompt, (best,) in zip(PROMPTS, ours.candidates, strict=True):
        given = tokenizer(prompt, return_tensors="pt")
        found = model.generate(**given, max_new_tokens=8, do_sample=False, pad_token_id=0)
        theirs = found[0, given.input_ids.shape[1] :].tolist()
        assert theirs == best.tokens, prompt
