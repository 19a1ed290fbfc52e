"""Which settings are tried one after the other, where a user lists several."""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple


class Values(NamedTuple):
    """What a try may have of its own, as ``finetune`` has it: ``method`` is ``full`` or ``lora``."""

    method: str
    learning_rate: float
    steps: int
    bag_learning_rate: float

    def unlike(self, other: "Values") -> str:
        """Say in which values it differs from another; nothing where it does not."""
        changed = [name for name in self._fields if getattr(self, name) != getattr(other, name)]
        return ", ".join(f"{name} {getattr(self, name)}" for name in changed)


class Lists(NamedTuple):
    """What is to be tried of each value; an empty list: the given one alone."""

    method: Sequence[str]
    learning_rate: Sequence[float]
    steps: Sequence[int]
    bag_learning_rate: Sequence[float]


def combinations(given: Values, lists: Lists, bag_epochs: int) -> list[Values]:
    """Return the given values, and then every combination; what comes to the same training is there once.

    Parameters
    ----------
    given
        What is tried first.
    lists
        What else.
    bag_epochs
        Without any, the net over bags of k-mers has no part.
    """
    choices: list[Sequence[Any]] = [some or [own] for some, own in zip(lists, given, strict=True)]
    found: dict[tuple[object, ...], Values] = {}
    for one in [given, *(Values(*chosen) for chosen in product(*choices))]:
        rate = one.learning_rate if one.steps else None
        bag_rate = one.bag_learning_rate if bag_epochs and one.method == "full" else None
        found.setdefault((one.method, rate, one.steps, bag_rate), one)
    return list(found.values())
