"""Tasks from a user's own instructions or chats in JSON lines, defined in a gin file.

    from lm.data.user_tasks import user_instructions
    MIXTURE_OR_TASK_NAME = @user_instructions.instruction_task()
    user_instructions.instruction_task.train = 'my.jsonl'

A line is an instruction with its answer, or the turns of a chat:

    {"instruction": "Praise?", "input": "So good.", "output": "yes", "options": ["no", "yes"]}
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}

`input` and `options` are optional. In a chat, each turn of the assistant is a target, and the turns
before it are the inputs, one per line, each with the name of its role. Of inputs that are too long
the last tokens are kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import seqio

from lm.data.evaluation.metrics import exact_match
from lm.data.preprocessing.left_trim import append_eos_after_left_trim
from lm.data.storage import readers, sources
from lm.data.storage.lines import DefectReport
from lm.data.user_tasks import user
from lm.data.user_tasks.user import Metric, Paths
from lm.parts import value

ROLES = ("system", "user", "assistant")

Defect = tuple[str, str]
_NONE: Defect = ("", "")


@value
def instruction_task(
    *,
    name: str = "user_instructions",
    train: Paths,
    validation: Paths | None = None,
    test: Paths | None = None,
    held_out: float = 0.0,
    vocabulary: seqio.Vocabulary | None = None,
    metrics: Sequence[Metric] = (exact_match,),
    on_error: str = "raise",
) -> str:
    """Registers a task of instructions or chats and returns its name.

    Args:
        name: name of the task.
        train: path or glob of the training file.
        validation: the same for the split `validation`.
        test: the same for the split `test`.
        held_out: without validation files, the fraction of the training examples that becomes the
            split `validation`; chosen by content.
        vocabulary: byte level by default.
        metrics: metric functions of `lm.data.evaluation.metrics` for the evaluation.
        on_error: "raise" stops at the first bad line, naming it; "skip" counts and leaves out.
    """
    files = user.given_files(train=train, validation=validation, test=test)
    source = sources.rows_source(files, read_instructions, on_error)
    columns = {"inputs": "inputs", "targets": "targets"}
    return user.register(
        name,
        source,
        held_out,
        columns,
        vocabulary,
        metrics,
        append_eos=append_eos_after_left_trim,
    )


def read_instructions(
    paths: Paths, *, on_error: str = "raise", report: DefectReport | None = None
) -> Iterator[dict[str, str]]:
    """Yields `inputs` and `targets` of JSON lines with instructions or chats.

    Args:
        paths: path, glob or several of them.
        on_error: "raise" or "skip".
        report: where defects are counted, in place of `on_error`.

    Raises:
        UserError: a defect, with file and line.
    """
    for row in readers.read_jsonl(
        paths, check=InstructionCheck(), on_error=on_error, report=report
    ):
        yield from _chat(row["messages"]) if "messages" in row else [_instruction(row)]


class InstructionCheck:
    """Finds the defect of a line: a missing text, or an answer outside the options."""

    def __call__(self, row: readers.Row) -> Defect:
        """Returns kind and detail of the defect, or two empty strings."""
        return _fault_of_chat(row["messages"]) if "messages" in row else _fault(row)

    def describe(self) -> Any:
        """Returns the fields that are checked."""
        return ["messages", "instruction", "input", "output", "options"]


def _instruction(row: Mapping[str, Any]) -> dict[str, str]:
    r"""Returns the inputs and targets of an instruction.

    Example:
        >>> row = {"instruction": "Praise?", "input": "So good.", "output": "yes"}
        >>> _instruction(row | {"options": ["no", "yes"]})["inputs"]
        'Praise?\n\nSo good.\n\nOPTIONS:\n- no\n- yes'
    """
    options = row.get("options") or []
    block = options_block(options) if options else ""
    parts = [row["instruction"], row.get("input") or "", block]
    return {"inputs": "\n\n".join(part for part in parts if part), "targets": row["output"]}


def options_block(options: Sequence[str]) -> str:
    r"""Returns the list of the possible answers.

    Example:
        >>> options_block(["no", "yes"])
        'OPTIONS:\n- no\n- yes'
    """
    return "\n- ".join(["OPTIONS:", *options])


def _chat(messages: Sequence[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    r"""Yields an example for every turn of the assistant.

    Example:
        >>> turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"), ("assistant", "Bye")]
        >>> chat = [{"role": role, "content": content} for role, content in turns]
        >>> [example["inputs"] for example in _chat(chat)]
        ['user: Hi\nassistant:', 'user: Hi\nassistant: Hello\nuser: Bye\nassistant:']
    """
    before: list[str] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role == "assistant":
            yield {"inputs": "\n".join([*before, f"{role}:"]), "targets": content}
        before.append(f"{role}: {content}")


def _fault(row: Mapping[str, Any]) -> Defect:
    for field in ("instruction", "output"):
        if not isinstance(row.get(field), str) or not row[field].strip():
            return "missing text", f" (field {field!r}; a chat has 'messages')"
    if not isinstance(row.get("input") or "", str):
        return "not text", " (field 'input')"
    options = row.get("options") or []
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        return "not a list of texts", " (field 'options')"
    if options and row["output"] not in options:
        return "answer outside the options", f" ({row['output']!r:.60})"
    return _NONE


def _fault_of_chat(messages: Any) -> Defect:
    if not isinstance(messages, list) or not messages:
        return "not a list of turns", " (field 'messages')"
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            return "not a turn", f" (turn {number} needs 'role' and 'content', as text)"
        if message.get("role") not in ROLES:
            return "unknown role", f" (turn {number}; the roles are {', '.join(ROLES)})"
    if "assistant" not in [message["role"] for message in messages]:
        return "no turn of the assistant", " (field 'messages')"
    return _NONE
