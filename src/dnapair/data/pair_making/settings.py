"""What data set of pairs is to be made."""

from typing import NamedTuple


class Settings(NamedTuple):
    """How the data set is made.

    Attributes
    ----------
    genome : str
        Regular expression searched in each header; its first group that matched is the genome's name.
    only : str or None
        Regular expression that is in each name that may be used; None: every name.
    length : int
        Bases in a fragment.
    min_fragments, max_fragments : int or None
        Fragments of one genome: with fewer it is left out, of more some are drawn; None: all are taken.
    sequences : int or None
        Fragments in all; None: all.
    pairs : int
        How many in all.
    positive : float
        Share of them that are of one genome.
    gc_matched : float
        Share of the negatives that repeat the GC contents of a positive pair.
    gc_tolerance : float
        How far a fragment's GC content may be from the one it repeats.
    val, test : float
        Share of the genomes, and of the pairs.
    seed : int
        The same seed gives the same bytes.
    """

    genome: str
    only: str | None
    length: int
    min_fragments: int
    max_fragments: int | None
    sequences: int | None
    pairs: int
    positive: float
    gc_matched: float
    gc_tolerance: float
    val: float
    test: float
    seed: int
