"""Paragraph vectors from gin files: counted words, a run, evaluation, vectors of new texts."""

import numpy as np
import pytest

import lm
from lm.cli.main import main
from lm.inference.keyed_vectors import KeyedVectors
from lm.inference.paragraph_vectors import ParagraphVectors
from lm.train.reporter import rows

RUN = """\
from __gin__ import dynamic_registration

from lm import train
from lm.data.storage import readers
from lm.data.user_tasks import user
from lm.data.paragraphs import words

include 'runs/pretrain.gin'
include 'models/paragraph_vector/dm_mean.gin'
include 'objectives/negative_sampling.gin'
include 'features/word_windows.gin'
include 'optim/sgd_linear.gin'
include 'runs/rowwise.gin'

MIXTURE_OR_TASK_NAME = @user.text_task()
user.text_task.name = 'paragraphs_of_a_test'
user.text_task.train = %TEXT
user.text_task.reader = @readers.read_text_lines
NUM_DOCUMENTS = 30
VOCABULARY = @words.word_vocabulary()
VOCABULARY_SIZE = @words.vocabulary_size()
words.word_vocabulary.path = %WORDS
words.vocabulary_size.vocabulary = %VOCABULARY
HIDDEN_DIM = 8
BATCH_SIZE = 64
EPOCHS = 4
EVAL_PERIOD = 5
train.train.log_period = 5
"""
SUBJECTS = ("cat dog bird fish", "bank loan share bond", "rain snow wind sun")
TEXT = "".join(
    " ".join(np.random.default_rng(i).permutation(f"{SUBJECTS[i % 3]} the a of {i % 7}".split()))
    + "\n"
    for i in range(30)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with texts, words, a gin file and a trained run."""
    found = tmp_path_factory.mktemp("paragraphs")
    (found / "text.txt").write_text(TEXT)
    (found / "run.gin").write_text(RUN)
    words = ["tokenizer", "words", f"--input={found}/text.txt", "--min_count=1"]
    assert main([*words, f"--output={found}/words.tsv"]) == 0
    assert main(train(found)) == 0
    return found


def train(folder, *more):
    given = [f"--gin.TEXT={folder}/text.txt", f"--gin.WORDS={folder}/words.tsv", *more]
    return ["train", f"--gin_file={folder}/run.gin", f"--workdir={folder}/run", *given]


def test_the_loss_falls_over_the_epochs(folder):
    losses = [row["loss"] for row in rows(folder / "run" / "metrics.jsonl") if "loss" in row]
    assert losses[-1] < losses[0]


def test_every_table_is_listed_with_its_size(folder):
    text = (folder / "run" / "model-info.txt").read_text()
    assert "documents/embeddings" in text
    assert "Total number of parameters: 0" not in text


def test_a_rehearsal_counts_the_tables(folder, capsys):
    """30 documents and twice 25 ids, 8 numbers each."""
    assert main([*train(folder), "--check"]) == 0
    assert "parameters  640" in capsys.readouterr().out


def test_documents_of_a_run_are_classified_without_a_warning(folder, capsys):
    """Their labels stand in blocks; a run reads its documents shuffled."""
    for name in ("train", "test"):
        (folder / f"{name}.tsv").write_text("label\n" + "a\n" * 7 + "b\n" * 8)
    files = [f"--{name}={folder}/{name}.tsv" for name in ("train", "test")]
    assert main(["vectors", "classify", f"--vectors={folder}/run", *files]) == 0
    found = capsys.readouterr()
    assert "error in percent" in found.out
    assert "blocks" not in found.err


def test_lm_eval_reports_the_loss_of_the_trained_documents(folder, capsys):
    assert main(["eval", f"--workdir={folder}/run"]) == 0
    assert "paragraphs_of_a_test train" in capsys.readouterr().out


def test_vectors_of_texts_do_not_depend_on_one_another(folder):
    run = lm.load(folder / "run")
    texts = ["the cat of a bird", "a bank", "snow wind"]
    whole = run.embed(texts)
    assert whole.shape == (3, 8)
    np.testing.assert_array_equal(whole[1:], run.embed(texts[1:]))


def test_another_number_of_documents_is_refused(folder, tmp_path, capsys):
    words = train(folder, "--gin.NUM_DOCUMENTS=29", f"--workdir={tmp_path}")
    assert main(words) == 1
    assert "has 30 documents, the model 29: set NUM_DOCUMENTS = 30" in capsys.readouterr().err


def test_a_table_without_a_row_for_each_word_is_refused(folder, tmp_path, capsys):
    """Updates are compiled without a look at bounds."""
    words = train(folder, "--gin.VOCABULARY_SIZE=24", f"--workdir={tmp_path}")
    assert main(words) == 2
    assert "25 ids, the model's embedding 24 rows: set VOCABULARY_SIZE = 25" in (
        capsys.readouterr().err
    )


def test_a_run_is_an_object_with_the_verbs_of_word_vectors(folder, tmp_path):
    model = ParagraphVectors.load(folder / "run")
    assert len(model.dv) == 30
    assert {"cat", "bank", "snow"} <= set(model.wv.index_to_key)
    assert len(model.dv.most_similar(3, topn=4)) == 4
    words = ["the", "cat"]
    np.testing.assert_array_equal(model.infer_vector(words), model.run.embed(["the cat"])[0])
    np.testing.assert_array_equal(model.infer_vector(words, epochs=20), model.infer_vector(words))
    assert not np.array_equal(model.infer_vector(words, alpha=0.5), model.infer_vector(words))
    model.wv.save_word2vec_format(tmp_path / "words.bin", binary=True)
    again = KeyedVectors.load_word2vec_format(tmp_path / "words.bin", binary=True)
    np.testing.assert_array_equal(again["cat"], model.wv["cat"])
