"""A user's own instructions and chats."""

import json

import pytest
import seqio

from lm.data.batching import stream
from lm.data.user_tasks import user, user_instructions
from lm.errors import UserError

CHAT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you"},
]


@pytest.fixture(autouse=True)
def free_name():
    seqio.TaskRegistry.remove("user_instructions")
    user._SPECS.clear()


def written(tmp_path, *rows):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_instructions_and_chats_become_inputs_and_targets(tmp_path, monkeypatch):
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    one = {"instruction": "Praise?", "input": "Good.", "output": "yes", "options": ["no", "yes"]}
    path = written(
        tmp_path, one, {"instruction": "Name a bird.", "output": "wren"}, {"messages": CHAT}
    )
    name = user_instructions.instruction_task(train=path)
    assert name == user_instructions.instruction_task(train=path)
    task = seqio.TaskRegistry.get(name)
    steps = stream.Steps({"inputs": 99, "targets": 9})
    rows = stream.one_pass(task, "train", steps).as_numpy_iterator()
    pairs = [(r["inputs_pretokenized"].decode(), r["targets_pretokenized"].decode()) for r in rows]
    assert pairs == [
        ("Praise?\n\nGood.\n\nOPTIONS:\n- no\n- yes", "yes"),
        ("Name a bird.", "wren"),
        ("user: Hi\nassistant:", "Hello"),
        ("user: Hi\nassistant: Hello\nuser: Bye\nassistant:", "See you"),
    ]


@pytest.mark.parametrize(
    ("row", "defect"),
    [
        ({"instruction": "Say."}, "missing text"),
        ({"instruction": "Say.", "output": "a", "options": ["b"]}, "answer outside the options"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "unknown role"),
        ({"messages": CHAT[:1]}, "no turn of the assistant"),
        ({"messages": "Hi"}, "not a list of turns"),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, defect):
    path = written(tmp_path, {"instruction": "Say.", "output": "a"}, row)
    with pytest.raises(UserError, match=rf"own.jsonl:2: {defect}"):
        list(user_instructions.read_instructions(path))
    assert len(list(user_instructions.read_instructions(path, on_error="skip"))) == 1
