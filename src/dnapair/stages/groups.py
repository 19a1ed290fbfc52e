"""The groups of pairs, for the stages that draw by them or compare them."""

import numpy as np
from numpy.typing import NDArray

from dnapair.data import groups
from dnapair.data.strands import canonical_rows
from dnapair.params import Split
from dnapair.stages import paths
from dnapair.storage.sequence_file import SequenceFile


def read_groups(columns: list[str], split: Split) -> NDArray[np.int64]:
    """Read the groups of every pair of artifacts/dataset, as :func:`dnapair.data.groups.read_groups` does."""
    by_sequence = not groups.SEQUENCE_ROWS.keys().isdisjoint(columns)
    return groups.read_groups(paths.PAIRS, columns, either_strand(split) if by_sequence else None)


def either_strand(split: Split) -> NDArray[np.int64] | None:
    """Return numbers of the sequences, one for both strands where they are one; None where they are two."""
    return canonical_rows(SequenceFile(paths.SEQUENCES)) if split.strands == "both" else None
