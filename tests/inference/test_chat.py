"""Sample-and-rank in a conversation, and `lm chat`."""

import io
from types import SimpleNamespace

import pytest

from lm.cli import chat as verb
from lm.cli.main import main
from lm.errors import UserError
from lm.inference import chat
from lm.inference.generate import Candidate, Generated
from tests import tiny_run


class Answering:
    """A model, as far as `reply` looks at it."""

    is_carried = False

    def __init__(self, has_inputs=False, row=256, positions=None):
        self.input_format = SimpleNamespace(has_inputs=has_inputs)
        self.lengths = {"inputs": row, "targets": row}
        self.positions = positions

    def prompt_ids(self, text):
        return [*text.encode(), *[1] * self.input_format.has_inputs]

    def max_prompt_length(self, max_new_tokens):
        return self.positions and self.positions - max_new_tokens + 1


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
    assert settings["prompts"] == [[*b"b\nc\n"]]
    assert (settings["num_samples"], settings["temperature"], settings["top_k"]) == (20, 0.88, 40)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Answering(row=8), b"cc\n"),  # and at most as many for the answer
        (Answering(row=12), b"bb\ncc\n"),
        (Answering(row=4), b"c\n"),
        (Answering(has_inputs=True, row=6), b"bb\ncc\1"),
        (Answering(has_inputs=True, row=9), b"aa\nbb\ncc\1"),
        (Answering(has_inputs=True, row=2), b"c\1"),
        (Answering(row=99, positions=12), b"cc\n"),
    ],
)
def test_the_oldest_turns_that_do_not_fit_are_dropped(asked, model, expected):
    new = 8 if model.positions else 20
    chat.reply(trained=model, turns=["aa", "bb", "cc"], max_new_tokens=new)
    assert bytes(asked[0]["prompts"][0]) == expected


def test_punctuation_does_not_hide_a_repetition():
    assert chat.repeats("Oh no!", ["Oh, no."], 5)
    assert chat.repeats("We do like it very (much).", ['"We do like it, very much!"'], 5)
    assert not chat.repeats("We do like it.", ["We, too, do like it."], 4)


def test_a_line_of_contexts_without_turns_is_named(tmp_path):
    model = SimpleNamespace(reply=lambda turns: Candidate("Yes.", [], 0.0, 0.0))
    args = SimpleNamespace(input=str(tmp_path / "talks.jsonl"), sheet=str(tmp_path / "sheet.tsv"))
    for line, message in (
        ('{"text": "ab"}', r"talks.jsonl:2: no conversation \(field 'turns' needs 1 or more"),
        ('{"turns": ["ab", 3]}', r"talks.jsonl:2: not text \(turn 2\)"),
    ):
        (tmp_path / "talks.jsonl").write_text('{"turns": ["ab"]}\n' + line + "\n")
        with pytest.raises(UserError, match=message):
            verb._answer(model, args)


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
