"""`lm embed` and `run.embed`: what a family's embedder returns, in order, as .npy or .jsonl."""

import json

import numpy as np
import pytest

from lm.cli import embed as verb
from lm.cli.main import main
from lm.errors import UserError
from lm.inference import embed


class Untrained:
    """Stands for a trained model where nothing reads it."""

    model = object()


def lengths(*, trained, texts):
    """An embedder: number of characters and of words."""
    del trained
    return np.array([[len(text), len(text.split())] for text in texts], "float32")


def test_an_empty_text_is_named():
    with pytest.raises(UserError, match="text 2 is empty"):
        embed.embed(trained=Untrained(), texts=["a", " "], embedder=lengths)


def test_a_model_without_vectors_is_refused():
    with pytest.raises(UserError, match=r"object cannot embed texts.*embed\.embed\.embedder"):
        embed.embed(trained=Untrained(), texts=["a"])


@pytest.mark.parametrize("name", ["out.npy", "out.jsonl"])
def test_vectors_are_written_in_order(name, tmp_path, monkeypatch, capsys):
    class Run:
        def embed(self, texts):
            return embed.embed(trained=Untrained(), texts=texts, embedder=lengths)

    monkeypatch.setattr(verb.run_flags, "load", lambda args: Run())
    (tmp_path / "in.txt").write_text("a bc\nabc\n")
    words = ["--workdir=run", f"--input={tmp_path}/in.txt", f"--output={tmp_path / name}"]
    assert main(["embed", *words]) == 0
    assert capsys.readouterr().err == "2 vectors of width 2\n"
    if name == "out.npy":
        found = np.load(tmp_path / name)
    else:
        records = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert [record["text"] for record in records] == ["a bc", "abc"]
        found = [record["vector"] for record in records]
    np.testing.assert_array_equal(found, [[4, 2], [3, 1]])


def test_the_output_has_a_known_format(capsys):
    assert main(["embed", "--workdir=run", "--input=in.txt", "--output=vectors.csv"]) == 2
    assert "--output=vectors.csv: give a name ending in .npy or .jsonl" in capsys.readouterr().err
