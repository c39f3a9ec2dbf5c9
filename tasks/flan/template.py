"""A template: how the fields of an example become an input text and a target text.

A template is written `"{premise} Does it follow that {hypothesis}"`; its target is the answer. One
that asks for a field and gives the answer is turned around, a pair: `[input, target]`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from lm.data.user_tasks.user_instructions import options_block

ANSWER = "{answer}"


class Example(NamedTuple):
    """What is known of one example of a data set.

    Attributes:
        texts: its fields by name, with the `answer`.
        options: the possible answers; none if it is a text of any kind.
        references: the right answers.
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
        """Whether it asks for something else than the answer."""
        return self.targets != ANSWER


def render(template: Template, example: Example, *, options: bool) -> tuple[str, str]:
    r"""Returns the input and the target.

    The options stand at the end, or before a last line that only leads to the answer. A template
    that is turned around has none.

    Args:
        template: the template.
        example: what to fill in.
        options: whether to list the possible answers, if there are.

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


def _with_slot(pattern: str) -> str:
    """Returns the pattern with the place of the options."""
    before, newline, last = pattern.rpartition("\n")
    if newline and last.endswith(":") and "{" not in last:
        return f"{before.rstrip()}{{options}}\n{last}"
    return pattern + "{options}"
