"""GC content and length of sequences."""

from collections.abc import Sequence

import numpy as np


def measure_compositions(sequences: Sequence[str]) -> np.ndarray:
    """Return the GC content and the length of each sequence, shape=(len(sequences), 2)."""
    found = np.empty((len(sequences), 2))
    for row, sequence in enumerate(sequences):
        found[row] = (sequence.count("G") + sequence.count("C")) / len(sequence), len(sequence)
    return found
