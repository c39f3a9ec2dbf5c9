"""`lm generate`, `lm score` and `lm eval` on a run folder with random weights."""

import json
import math

import pytest

from lm.cli.main import main
from lm.inference import rounding
from tests import tiny_run

SHORT = "--gin.generate.max_new_tokens=3"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tiny_run.make("continues", tmp_path_factory.mktemp("continues"))


def test_generate_goes_on_with_a_prompt(workdir, capsys):
    assert main(["generate", f"--workdir={workdir}", "--prompt=ab ", SHORT]) == 0
    assert capsys.readouterr().out.startswith("ab ")


def test_generate_writes_a_line_for_each_line(workdir, tmp_path):
    prompts, made = tmp_path / "prompts.txt", tmp_path / "made.jsonl"
    prompts.write_text("abc\na\n\nb b\n")
    words = [f"--workdir={workdir}", f"--input={prompts}", f"--output={made}", "--json", SHORT]
    assert main(["generate", *words, "--gin.generate.num_samples=2"]) == 0
    records = [json.loads(line) for line in made.read_text().splitlines()]
    assert [record["prompt"] for record in records] == ["abc", "a", "", "b b"]
    assert [len(record["candidates"]) for record in records] == [2] * 4
    assert records[0]["decoding"]["num_samples"] == 2


def test_score_prints_a_record_for_each_text(workdir, tmp_path, capsys):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "abc"}\n{"inputs": "a", "targets": "bc"}\n')
    assert main(["score", f"--workdir={workdir}", f"--input={texts}", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["tokens"] for record in records] == [4, 3]
    assert all(record["log_likelihood"] < 0 < record["bits_per_byte"] for record in records)


def test_an_ensemble_of_a_run_and_itself_scores_as_the_run(workdir, tmp_path, capsys):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "abc", "score": -1}\n{"text": "bca", "score": -2}\n')
    words = ["score", f"--workdir={workdir}", f"--input={texts}", "--json"]
    assert main(words) == 0
    alone = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main([*words, f"--ensemble={workdir}", "--rerank=1.0"]) == 0
    [found] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wanted = max(alone, key=lambda record: record["log_likelihood"])
    assert found["text"] == wanted["text"]
    assert found["log_likelihood"] == pytest.approx(wanted["log_likelihood"], rel=1e-5)


def test_embed_finds_the_nearest_text_and_draws_all(workdir, tmp_path, capsys):
    texts, picture = tmp_path / "texts.txt", tmp_path / "texts.png"
    texts.write_text("cab\nabc\nbb\n")
    words = [f"--input={texts}", "--nearest=abc", "--count=2", f"--picture={picture}"]
    assert main(["embed", f"--workdir={workdir}", *words]) == 0
    _, first, *others = capsys.readouterr().out.splitlines()
    assert first.split() == ["1.0000", "abc"]
    assert len(others) == 1
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_eval_prints_and_writes_figures(workdir, capsys):
    assert main(["eval", f"--workdir={workdir}", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["task"] == "tiny_text"
    assert (workdir / "inference_eval/tiny_text/tiny_text-metrics.jsonl").is_file()
    assert main(["eval", f"--workdir={workdir}"]) == 0
    assert "bits_per_byte" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "--prompt=a", "--gin.generate.beam_sise=2"], "did you mean 'beam_size'"),
        (["generate", "--prompt=a", "--gin.generate.max_new_tokens=99"], "max_new_tokens = 99"),
        (["generate", "--prompt=a", "--checkpoint=9"], "no checkpoint 9"),
        (["eval", "--task=tiny_tekst"], "tiny_text"),
        (["eval", "--split=tset"], "tset"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(workdir, capsys, words, message):
    verb, *rest = words
    assert main([verb, f"--workdir={workdir}", *rest]) in (1, 2)
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("lm: error: ")
    assert said.count("\n") == 1


def test_eval_says_what_narrow_weights_change(workdir, monkeypatch, capsys):
    monkeypatch.setattr(rounding, "_PROMPTS", 1)
    monkeypatch.setattr(rounding, "_NEW_TOKENS", 4)
    assert main(["eval", f"--workdir={workdir}", "--weights=int8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights"] == "int8"
    change = 100 * (math.exp(found["loss"] - found["float32_loss"]) - 1)
    assert 0 < abs(change) < 10
    assert found["perplexity_change"] == pytest.approx(change, rel=1e-3)
    assert 0 <= found["equal_greedy_tokens"] <= 100
    assert found["greedy_tokens_per_second"] > 0
