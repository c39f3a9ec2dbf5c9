"""The rows of the comparison differ in nothing but the model, which is as large in all of them."""

import math

import pytest

from lm import config
from lm.summary import summarise
from tests.golden import trees

ROWS = sorted(path.stem for path in (trees.GIN / "papers/comparison").glob("*.gin"))
SHARED = ("MIXTURE_OR_TASK_NAME", "TASK_FEATURE_LENGTHS", "BATCH_SIZE", "VOCABULARY_SIZE")
SHARED += ("LEARNING_RATE", "FINAL_LEARNING_RATE", "WARMUP_STEPS", "HOLD_STEPS", "TRAIN_SECONDS")
VANILLA = 4_204_160


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_rows_are_as_large_as_the_vanilla_one(row):
    loaded = config.load([f"papers/comparison/{row}.gin"], roots=["lm.train.train", "MODEL"])
    said = {name: loaded.value(name) for name in SHARED}
    assert said == {
        "MIXTURE_OR_TASK_NAME": "docs_and_novels",
        "TASK_FEATURE_LENGTHS": {"targets": 256},
        "BATCH_SIZE": 8,
        "VOCABULARY_SIZE": 4096,
        "LEARNING_RATE": 0.05,
        "FINAL_LEARNING_RATE": 1e-3,
        "WARMUP_STEPS": 100,
        "HOLD_STEPS": 0,
        "TRAIN_SECONDS": 300,
    }
    shapes = summarise(loaded.value("MODEL"), length=256).shapes
    used = {path: 1 / 8 if "/experts/" in path else 1 for path in shapes}  # one of eight a token
    parameters = sum(used[path] * math.prod(shape) for path, shape in shapes.items())
    assert parameters == pytest.approx(VANILLA, rel=0.03)


PRETRAININGS = sorted(path.stem for path in (trees.GIN / "papers/pretraining").glob("*.gin"))


@pytest.mark.parametrize("row", PRETRAININGS)
def test_a_pretraining_and_its_fine_tuning_have_one_tokenizer(row):
    files = f"papers/pretraining/{row}.gin", f"papers/pretraining/labels/{row}.gin"
    for file in files:
        loaded = config.load([file], roots=["lm.train.train"])
        vocabulary = loaded.value("VOCABULARY")
        assert vocabulary.vocab_size == loaded.value("VOCABULARY_SIZE") == 4096


@pytest.mark.parametrize("row", [row for row in PRETRAININGS if row != "xlnet"])
def test_a_row_of_masked_tokens_is_one_text_as_in_fine_tuning(row):
    loaded = config.load([f"papers/pretraining/{row}.gin"], roots=["lm.train.train"])
    found = {f"{x.target}.{x.parameter}": x.value for x in loaded.bindings}
    assert found.get("lm.data.rows.features.Encoder.pack") is None
    for reader in ("Pipeline", "evaluation_batches"):
        steps = found[f"lm.data.batching.pipeline.{reader}.preprocessors"]
        assert [step.target.rpartition(".")[2] for step in steps] == [
            "with_separators",
            "mask_tokens",
        ]
