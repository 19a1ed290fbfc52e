"""Rows of a table that can't be read: the first few, and how many there are."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dnapair.data.raw_files import EXAMPLES, listing
from dnapair.errors import DnapairError


class _Places(Protocol):
    def places(self, numbers: Sequence[int], /) -> list[str]:
        """Name file and line of rows."""


class Faults:
    """Fields at fault."""

    def __init__(self) -> None:
        self.total = 0
        self._examples: list[tuple[int, str]] = []

    def add(self, numbers: NDArray[np.int64], describe: Callable[[int], str]) -> None:
        """Take the numbers of rows, rising, and what says of one of them what is wrong."""
        self.total += len(numbers)
        room = EXAMPLES - len(self._examples)
        self._examples += [(number, describe(number)) for number in numbers[:room].tolist()]

    def check(self, sources: _Places, headline: str, remedy: str) -> None:
        """Raise a DnapairError with file and line if there was a fault."""
        if self.total:
            places = sources.places([number for number, _ in self._examples])
            shown = [f"{place}, {text}" for place, (_, text) in zip(places, self._examples, strict=True)]
            raise DnapairError(f"{self.total} {headline}:\n{listing(shown, self.total)}\n{remedy}")
