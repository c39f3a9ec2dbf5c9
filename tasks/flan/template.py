"""Templates, which make an input and a target text of an example's fields.

A template is written `"{premise} Does it follow that {hypothesis}"`; its target is the answer. An
inverted template, which asks for a field given the answer, is a pair `[input, target]`.
"""

import string
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lm.data.user_tasks.user_instructions import options_block

ANSWER = "{answer}"


class Example(NamedTuple):
    """An example of a data set.

    Attributes:
        texts: its fields by name, including the `answer`.
        options: the possible answers; empty if the answer is free text.
        references: the correct answers.
    """

    texts: Mapping[str, str]
    options: tuple[str, ...]
    references: tuple[str, ...]


class Template(NamedTuple):
    """Patterns of the input and of the target."""

    inputs: str
    targets: str = ANSWER

    @property
    def is_turned_around(self) -> bool:
        """Whether it asks for something other than the answer."""
        return self.targets != ANSWER


def render(template: Template, example: Example, *, options: bool) -> tuple[str, str]:
    r"""Returns the input and the target.

    The options are listed at the end, or before a last line that only introduces the answer. An
    inverted template has none.

    Args:
        template: the template.
        example: the example.
        options: whether to list the possible answers, if there are any.

    Example:
        >>> example = Example({"text": "So good.", "answer": "yes"}, ("no", "yes"), ("yes",))
        >>> print(render(Template("{text} Praise?"), example, options=True)[0])
        So good. Praise?
        <BLANKLINE>
        OPTIONS:
        - no
        - yes
        >>> print(render(Template("Say: {text}\nPraise:"), example, options=True)[0])
        Say: So good.
        <BLANKLINE>
        OPTIONS:
        - no
        - yes
        Praise:
    """
    listed = options and bool(example.options) and not template.is_turned_around
    block = "\n\n" + options_block(example.options) if listed else ""
    inputs = _with_slot(template.inputs).format(**example.texts, options=block)
    return inputs, template.targets.format(**example.texts)


def field_names(pattern: str) -> Iterator[str]:
    """Yields the names of the fields in a pattern.

    Example:
        >>> list(field_names("{text} Is it {answer}?"))
        ['text', 'answer']
    """
    return (name for _, name, _, _ in string.Formatter().parse(pattern) if name)


def around_longest(template: Template, example: Example, inputs: str) -> tuple[str, str]:
    """Returns the texts before and after the longest field of a template's rendered input.

    Example:
        >>> texts = {"text": "Rain all day.", "question": "Wet?", "answer": "yes"}
        >>> example = Example(texts, (), ("yes",))
        >>> template = Template("Read: {text} Say: {question}")
        >>> around_longest(template, example, render(template, example, options=False)[0])
        ('Read: ', ' Say: Wet?')
    """
    texts = (example.texts[name] for name in field_names(template.inputs))
    before, _, after = inputs.partition(max(texts, key=len, default="") or inputs)
    return before, after


def _with_slot(pattern: str) -> str:
    """Returns the pattern with a placeholder for the options."""
    before, newline, last = pattern.rpartition("\n")
    if newline and last.endswith(":") and "{" not in last:
        return f"{before.rstrip()}{{options}}\n{last}"
    return pattern + "{options}"
