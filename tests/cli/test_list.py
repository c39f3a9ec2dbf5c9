"""`lm list`: templates as a page, and the patterns of names made by rule."""

import json

import pytest

pytest.importorskip("seqio")

from lm.cli import main


def test_the_templates_make_one_page(tmp_path, capsys):
    page = tmp_path / "templates.html"
    assert main.main(["list", "templates", f"--html={page}"]) == 0
    text = page.read_text(encoding="utf-8")
    assert capsys.readouterr().out.startswith(f"{page}: ")
    assert text.count("<td>rte</td>") == 10
    assert "Claim: {hypothesis}\nDoes the claim follow from the text?" in text


def test_families_are_listed_by_their_patterns(capsys):
    assert main.main(["list", "mixtures", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    (row,) = [row for row in rows if "without_<cluster>" in row["mixture"]]
    assert row["module"] == "tasks.flan"


def test_a_tokenizer_is_told_by_its_recipe(capsys):
    assert main.main(["list", "tokenizers"]) == 0
    assert "python_docs_4k  bpe, 3996 pieces, of python_docs\n" in capsys.readouterr().out
