"""The names that SeqIO's registries hold."""

import seqio


def task_names() -> set[str]:
    """Return the names of the registered tasks."""
    return set(seqio.TaskRegistry.names())


def mixture_names() -> set[str]:
    """Return the names of the registered mixtures."""
    return set(seqio.MixtureRegistry.names())
