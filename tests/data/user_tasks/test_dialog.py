"""Conversations as tasks: what is an example of a line of turns, and which turns are left out."""

import json

import pytest

from lm.data.batching import stream
from lm.data.registry import task_registry
from lm.data.user_tasks import dialog
from lm.data.user_tasks.user_instructions import instruction_task
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError

TURNS = ["Hello, who is there?", "It is a friend.", "Then come in.", "Thank you, my dear."]


def examples(path, lines, **settings):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = {"max_turns": 7, "write": dialog.one_a_line, "keep": dialog.is_message} | settings
    return [(e["inputs"], e["targets"]) for e in dialog.read_dialogs(str(path), **given)]


def test_every_turn_answers_those_before_it(tmp_path):
    assert examples(tmp_path / "a", [{"turns": TURNS}], max_turns=2) == [
        (TURNS[0], TURNS[1]),
        ("\n".join(TURNS[:2]), TURNS[2]),
        ("\n".join(TURNS[1:3]), TURNS[3]),
    ]


def test_what_follows_a_bad_message_goes_with_it(tmp_path):
    for bad in ("ok", "see www.example.org for that", "1234 5678 :-) 90", "a " * 129, TURNS[1]):
        turns = [*TURNS[:2], bad, TURNS[3]]
        assert len(examples(tmp_path / "a", [{"turns": turns}])) == 1
        assert len(examples(tmp_path / "a", [{"turns": turns}], keep=None)) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"turns": ["alone"]}, "a:1: no conversation"),
        ({"texts": []}, "a:1: no conversation"),
        ({"turns": ["one", 2]}, r"a:1: not text \(turn 2\)"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    with pytest.raises(UserError, match=message):
        examples(tmp_path / "a", [line])


def test_a_task_of_conversations(tmp_path):
    (tmp_path / "talks.jsonl").write_text(json.dumps({"turns": TURNS}) + "\n")
    name = dialog.dialog_task(name="talks", train=str(tmp_path / "talks.jsonl"))
    assert dialog.dialog_task(name="talks", train=str(tmp_path / "talks.jsonl")) == name


def test_of_long_inputs_the_last_turn_is_kept(tmp_path):
    """In rows of conversations and of chats; the end token stays, and cuts are reported."""
    chat = [("user", "Hello, who is there?"), ("assistant", "A friend."), ("user", "Then come in.")]
    messages = [{"role": role, "content": text} for role, text in [*chat, ("assistant", "Thanks.")]]
    (tmp_path / "talks").write_text(json.dumps({"turns": TURNS}) + "\n")
    (tmp_path / "chats").write_text(json.dumps({"messages": messages}) + "\n")
    names = {
        dialog.dialog_task(name="long_talks", train=str(tmp_path / "talks")): b"Then come in.\1",
        instruction_task(name="long_chats", train=str(tmp_path / "chats")): b"me in.\nassistant:\1",
    }
    for name, end in names.items():
        task = task_registry.task(name, "train")
        steps = stream.Steps({"inputs": len(end), "targets": 8})
        *_, last = stream.one_pass(task, "train", steps).as_numpy_iterator()
        assert byte_vocabulary().decode(last["inputs"][:-1].tolist()) == end[:-1].decode()
        assert last["inputs"][-1] == 1
        assert (len(last["targets"]), last["targets"][-1]) == (8, 1)
