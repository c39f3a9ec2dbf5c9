"""CTranslate2's own converter reads what is exported, and continues as `lm generate` does."""

import importlib

import numpy as np
import pytest

import lm
from lm.interop.export_folder import export_folder
from lm.interop.import_folder import import_folder
from tests import tiny_run

NEW_TOKENS = 8
NOISE = np.random.default_rng(0)
PROMPTS = ["".join(NOISE.choice(list("abc "), NOISE.integers(1, 20))) for _ in range(64)]
pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def ctranslate2():
    for name in ("torch", "transformers"):
        pytest.importorskip(name, reason="needs the extra `parity`")
    return pytest.importorskip("ctranslate2")


def converted(ctranslate2, run, folder):
    """Exports a run and converts the folder, as a user does."""
    export_folder(run, folder / "model")
    converter = ctranslate2.converters.TransformersConverter(str(folder / "model"))
    return converter.convert(str(folder / "fast"))


def ours(run):
    """Returns prompts as tokens, and what follows each, without the end token."""
    loaded = lm.load(run)
    trained = loaded.trained
    found = loaded.generate(PROMPTS, max_new_tokens=NEW_TOKENS, temperature=0.0)
    texts = [[i for i in best.tokens if i != trained.eos_id] for (best,) in found.candidates]
    return [trained.prompt_ids(prompt) for prompt in PROMPTS], texts


def test_a_language_model_of_ours(ctranslate2, tmp_path):
    (tmp_path / "run").mkdir()
    run = tiny_run.make("continues", tmp_path / "run")
    fast = ctranslate2.Generator(converted(ctranslate2, run, tmp_path))
    prompts, expected = ours(run)
    names = tokens_of(tmp_path / "model")
    start = lm.load(run).trained.start_token
    for prompt, text in zip(prompts, expected, strict=True):
        read = [names[i] for i in [start, *prompt]]
        settings = {"max_length": NEW_TOKENS, "include_prompt_in_result": False}
        (found,) = fast.generate_batch([read], **settings)
        assert found.sequences_ids[0] == text, prompt


def test_a_t5_that_was_imported(ctranslate2, tmp_path):
    folders = importlib.import_module("tests.golden.folders")
    source = folders.make("t5", tmp_path / "source", folders.TINY)
    import_folder(source, tmp_path / "run")
    fast = ctranslate2.Translator(converted(ctranslate2, tmp_path / "run", tmp_path))
    prompts, expected = ours(tmp_path / "run")
    names = tokens_of(tmp_path / "model")
    ids = {name: i for i, name in enumerate(names)}
    for prompt, text in zip(prompts, expected, strict=True):
        read = [names[i] for i in prompt]
        (found,) = fast.translate_batch([read], beam_size=1, max_decoding_length=NEW_TOKENS)
        assert [ids[token] for token in found.hypotheses[0]] == text, prompt


def tokens_of(folder):
    """Returns the tokens of a folder in the order of their ids."""
    tokenizer = importlib.import_module("transformers").AutoTokenizer.from_pretrained(folder)
    return tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
