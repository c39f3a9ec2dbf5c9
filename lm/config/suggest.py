"""The nearest known names to a misspelt one."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest known name, or nothing when none is near.

    Args:
        name: what was written; case does not count.
        known: the names there are.

    Example:
        >>> did_you_mean("num_head", ["num_heads", "dropout"])
        "; did you mean 'num_heads'?"
        >>> did_you_mean("zebra", ["num_heads", "dropout"])
        ''
    """
    near = nearest(name, known)
    return f"; did you mean '{near}'?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the nearest known name, or None when none is near; case does not count."""
    folded = {candidate.lower(): candidate for candidate in sorted(set(known), reverse=True)}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def slip_of(name: str, known: Iterable[str]) -> str:
    """Return the same tail when a known name is one slip of the keyboard away.

    A slip is a letter too many, one missing, one wrong, or letters in another order; digits count
    as meant, since `STAGE_1` and `STAGE_2` are two names.

    Example:
        >>> slip_of("TRAIN_STPES", ["TRAIN_STEPS"])
        "; did you mean 'TRAIN_STEPS'?"
        >>> slip_of("NUM_ENCODER_LAYERS", ["NUM_DECODER_LAYERS", "STAGE_1"])
        ''
    """
    near = [other for other in sorted(known) if other != name and _is_slip(name, other)]
    return f"; did you mean '{near[0]}'?" if near else ""


def _is_slip(name: str, other: str) -> bool:
    """Tell whether two names are one slip apart."""
    if len(name) == len(other):
        apart = [pair for pair in zip(name, other, strict=True) if pair[0] != pair[1]]
        letters = not any(char.isdigit() for pair in apart for char in pair)
        return letters and (len(apart) == 1 or sorted(name) == sorted(other))
    short, long = sorted((name, other), key=len)
    return any(
        short == long[:place] + long[place + 1 :] and not char.isdigit()
        for place, char in enumerate(long)
    )
