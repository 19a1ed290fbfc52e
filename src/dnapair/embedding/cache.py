"""Embeddings kept in memory, so that a sequence met again is not embedded again."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

_OVERHEAD_BYTES = 300
"""Of Python's for each row, as measured."""


class EmbeddingCache:
    """The rows used last, as many as fit.

    Parameters
    ----------
    limit_bytes
        The most memory that rows take up; 0 keeps none.

    Attributes
    ----------
    asked, computed : int
        How many sequences were asked for, and how many of them had to be embedded.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.asked = 0
        self.computed = 0
        # the least recently used first; keyed by digests, since a sequence is longer than its row
        self._rows: OrderedDict[bytes, bytes] = OrderedDict()

    def rows(
        self, sequences: Sequence[str], compute: Callable[[list[int]], NDArray[np.float16]]
    ) -> NDArray[np.float16]:
        """Give the row of each sequence.

        Parameters
        ----------
        sequences
            No two are the same.
        compute
            Gives the rows of the sequences at these places, shape=(len(places), dimensions). It is asked
            once, for those that are not kept; not at all where all are.

        Returns
        -------
        np.ndarray, shape=(len(sequences), dimensions)
            float16.
        """
        keys = [hashlib.blake2b(sequence.encode(), digest_size=16).digest() for sequence in sequences]
        found = [self._rows.get(key) for key in keys]
        missing = [place for place, row in enumerate(found) if row is None]
        self.asked += len(keys)
        self.computed += len(missing)
        if missing:
            for place, row in zip(missing, compute(missing), strict=True):
                found[place] = row.tobytes()
        for key, content in zip(keys, found, strict=True):
            if content is not None:
                self._rows[key] = content
                self._rows.move_to_end(key)
        self._shrink()
        return np.frombuffer(b"".join(content for content in found if content), np.float16).reshape(
            len(keys), -1
        )

    def _shrink(self) -> None:
        if self._rows:
            row = len(next(iter(self._rows.values()))) + _OVERHEAD_BYTES
            while len(self._rows) * row > self.limit_bytes:
                self._rows.popitem(last=False)
