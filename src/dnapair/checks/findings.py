"""What an audit finds, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

SHOWN = 5
"""Examples that are kept of each finding."""
IN_WORDS = 3
"""Examples that its sentence names."""

Level = Literal["pass", "info", "warn", "fail"]
LEVELS: tuple[Level, ...] = ("pass", "info", "warn", "fail")
"""From none to the one that stops the pipeline."""
CALLED = {"train": "train", "val": "validation", "test": "test"}
"""What people call a split."""


class Limit(NamedTuple):
    """From where on a check has found something, and how grave that is.

    Attributes
    ----------
    level : "info", "warn" or "fail"
        Of a finding.
    above : float
        A share above it is one.
    """

    level: Level
    above: float


@dataclass(frozen=True)
class Finding:
    """What one check found in one split.

    Attributes
    ----------
    check : str
        Its name in params.yaml.
    split : str or None
        None where it is about the whole data.
    level : str
        One of :data:`LEVELS`.
    words : str
        Sentences for people, with the first examples.
    count, of : int
        Say pairs, and of how many.
    share : float
        What is held against the limit.
    examples : list of str
        At most :data:`SHOWN`.
    remedy : str
        What to do about it.
    """

    check: str
    split: str | None
    level: Level
    words: str
    count: int
    of: int
    share: float
    examples: list[str]
    remedy: str


def worst(findings: Sequence[Finding]) -> Level:
    """Return the gravest level, ``pass`` where there are no findings."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="pass")


def level_of(share: float, limit: Limit) -> Level:
    """Return the limit's level where the share is above it."""
    return limit.level if share > limit.above else "pass"


def percent(share: float) -> str:
    """Write a share with three digits: ``0.41 %``."""
    return f"{100 * share:.3g} %"


def some(examples: Sequence[str], total: int) -> str:
    """Name the first of ``total`` examples, and end the sentence."""
    return ", ".join(examples[:IN_WORDS]) + (", ..." if total > IN_WORDS else ".")
