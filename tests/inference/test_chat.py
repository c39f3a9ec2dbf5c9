"""Sample-and-rank in a conversation, and `lm chat`."""

import io

import pytest

from lm.cli.main import main
from lm.inference import chat
from lm.inference.generate import Candidate, Generated
from tests import tiny_run


class Answering:
    """A model, as far as `reply` looks at it."""

    class input_format:
        has_inputs = False


@pytest.fixture
def asked(monkeypatch):
    """Returns what `generate` is asked for; it answers with three samples."""
    seen = []

    def generate(**settings):
        seen.append(settings)
        texts = ("We meet again today.\nyou: yes", "\n", "Oh, that is new.")
        found = [Candidate(text, [], -float(n), -float(n)) for n, text in enumerate(texts)]
        return Generated([found], {})

    monkeypatch.setattr(chat, "generate", generate)
    return seen


def test_the_most_probable_answer_that_repeats_nothing(asked):
    assert chat.reply(trained=Answering(), turns=["Hello."]).text == "We meet again today."
    repeated = ["So we meet again today.", "Yes."]
    assert chat.reply(trained=Answering(), turns=repeated).text == "Oh, that is new."
    everything = [*repeated, "Oh, that is new."]
    assert chat.reply(trained=Answering(), turns=everything).text == "We meet again today."


def test_a_language_model_reads_the_last_turns_and_a_line_end(asked):
    chat.reply(trained=Answering(), turns=["a", "b", "c"], max_turns=2)
    (settings,) = asked
    assert settings["prompts"] == ["b\nc\n"]
    assert (settings["num_samples"], settings["temperature"], settings["top_k"]) == (20, 0.88, 40)


@pytest.mark.slow
def test_a_talk_in_the_terminal(tmp_path, monkeypatch, capsys):
    workdir = tiny_run.make("answers", tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("ab\n\nca\n/new\nb\n"))
    short = ["--gin.chat.reply.num_samples=2", "--gin.chat.reply.max_new_tokens=4"]
    assert main(["chat", f"--workdir={workdir}", *short]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.slow
def test_a_sheet_of_answers_for_raters(tmp_path):
    workdir, sheet = tiny_run.make("answers", tmp_path), tmp_path / "sheet.tsv"
    (tmp_path / "talks.jsonl").write_text('{"turns": ["ab"]}\n{"turns": ["b", "ca"]}\n')
    files = [f"--input={tmp_path / 'talks.jsonl'}", f"--sheet={sheet}"]
    short = ["--gin.chat.reply.num_samples=2", "--gin.chat.reply.max_new_tokens=4"]
    assert main(["chat", f"--workdir={workdir}", *files, *short]) == 0
    assert [line.split("\t")[0] for line in sheet.read_text().splitlines()[1:]] == ["ab", "b / ca"]
