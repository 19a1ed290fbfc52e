"""Fragments of genomes: one of each record, none a copy, each genome in one split."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.data.genomes import compile_pattern, genome_finder
from dnapair.data.pair_making.settings import Settings
from dnapair.data.raw_files import listing
from dnapair.data.sequences import fasta_records, find_ambiguous, record_sequence, reverse_complement
from dnapair.errors import DnapairError

_COMPLEMENT = np.zeros(256, np.uint8)
_COMPLEMENT[list(b"ACGT")] = list(b"TGCA")
_IS_GC = np.zeros(256, bool)
_IS_GC[list(b"CG")] = True
_BLOCK = 8192
"""Fragments worked on at a time: what bounds the memory."""


class Fragments(NamedTuple):
    """One fragment of each record that can be used.

    Attributes
    ----------
    bases : np.ndarray, shape=(n, length)
        uint8: ASCII letters A, C, G, T.
    genomes : np.ndarray, shape=(n,)
        Number of each fragment's genome.
    names : list of str
        Name of each genome.
    records : list of str
        Each record's id.
    starts : np.ndarray, shape=(n,)
        Where the fragment begins in its record, from 1.
    left_out : dict
        How many records were left out, by reason.
    """

    bases: NDArray[np.uint8]
    genomes: NDArray[np.int64]
    names: list[str]
    records: list[str]
    starts: NDArray[np.int64]
    left_out: dict[str, int]

    def take(self, rows: NDArray[np.int64]) -> "Fragments":
        """Return some of the fragments, in the order given."""
        return self._replace(
            bases=self.bases[rows],
            genomes=self.genomes[rows],
            records=[self.records[row] for row in rows.tolist()],
            starts=self.starts[rows],
        )


def read_fragments(files: Sequence[Path], settings: Settings) -> Fragments:
    """Draw a fragment from each record that is long enough, has nothing but ACGT, and names a genome.

    Parameters
    ----------
    files
        FASTA files, plain or packed.
    settings
        Their ``genome``, ``only``, ``length`` and ``seed`` are used.

    Returns
    -------
    Fragments
        At least one; one byte of memory for each of their bases.

    Raises
    ------
    DnapairError
        If a file can't be read, a pattern is none, or no record can be used.
    """
    find_genome = genome_finder(settings.genome, "--genome")
    only = compile_pattern(settings.only or "", "--only")
    rng = np.random.default_rng(settings.seed)
    length = settings.length
    bases = bytearray()
    numbers: dict[str, int] = {}
    genomes, records, starts = [], [], []
    seen: set[int] = set()
    header = ""
    nameless = f"`{settings.genome}` finds no genome in the header"
    other = f"`{settings.only}` is not in the genome's name"
    short = f"shorter than {length} bases"
    ambiguous = "letters other than A, C, G and T"
    copy = "a copy of another record, on either strand"
    left_out = dict.fromkeys((nameless, other, short, ambiguous, copy), 0)
    for file in files:
        for number, header, text in fasta_records(file):
            name = find_genome(header)
            if name is None:
                left_out[nameless] += 1
            elif not only.search(name):
                left_out[other] += 1
            elif len(text) < length or len(sequence := record_sequence(file, number, text)) < length:
                left_out[short] += 1
            elif find_ambiguous(sequence):
                left_out[ambiguous] += 1
            # two fragments of one record's copies would be a pair that overlaps
            elif (mark := hash(min(sequence, reverse_complement(sequence)))) in seen:
                left_out[copy] += 1
            else:
                seen.add(mark)
                start = int(rng.random() * (len(sequence) - length + 1))
                bases += sequence[start : start + length].encode()
                genomes.append(numbers.setdefault(name, len(numbers)))
                records.append(header.split(maxsplit=1)[0])
                starts.append(start + 1)
    if not starts:
        shown = [f"{count} record(s): {reason}" for reason, count in left_out.items() if count]
        raise DnapairError(
            f"{', '.join(map(str, files))}: no record can be used.\n{listing(shown, len(shown))}\n"
            f"The last header is: >{header}. Set --genome to what the headers have, or lower --length."
        )
    return Fragments(
        np.frombuffer(bases, np.uint8).reshape(-1, length),
        np.array(genomes),
        list(numbers),
        records,
        np.array(starts),
        left_out,
    )


def first_copies(bases: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find the fragments that are no copy of an earlier one, on either strand.

    Parameters
    ----------
    bases : np.ndarray, shape=(n, length)
        ASCII letters A, C, G, T.

    Returns
    -------
    np.ndarray, shape=(kept,)
        Their rows, rising.
    """
    # 64-bit sums are faster to sort than letters; two of a million fragments clash in one of 10^6 runs
    weights = np.random.default_rng(0).integers(2**64, size=(bases.shape[1], 4), dtype=np.uint64)
    codes = np.zeros(256, np.int64)
    codes[list(b"ACGT")] = range(4)
    columns = np.arange(bases.shape[1])
    marks = np.empty(len(bases), np.uint64)
    for start in range(0, len(bases), _BLOCK):
        block = bases[start : start + _BLOCK]
        strands = (block, _COMPLEMENT[block[:, ::-1]])
        sums = [weights[columns, codes[strand]].sum(axis=1) for strand in strands]
        marks[start : start + _BLOCK] = np.minimum(*sums)
    return np.sort(np.unique(marks, return_index=True)[1])


def turn_strands(bases: NDArray[np.uint8], seed: int) -> NDArray[np.bool_]:
    """Turn each fragment to the other strand with probability one half, in place.

    Parameters
    ----------
    bases : np.ndarray, shape=(n, length)
        ASCII letters A, C, G, T.
    seed
        The same seed turns the same fragments.

    Returns
    -------
    np.ndarray, shape=(n,)
        Which were turned.
    """
    turned = np.random.default_rng([seed, 1]).random(len(bases)) < 0.5
    for start in range(0, len(bases), _BLOCK):
        block = bases[start : start + _BLOCK]
        own = turned[start : start + _BLOCK]
        block[own] = _COMPLEMENT[block[own, ::-1]]
    return turned


def count_gc(bases: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the C and G of each fragment, shape=(n,); ``bases`` as in :func:`turn_strands`."""
    counts = [
        np.count_nonzero(_IS_GC[bases[start : start + _BLOCK]], axis=1)
        for start in range(0, len(bases), _BLOCK)
    ]
    return np.concatenate([np.empty(0, np.int64), *counts])


def choose_fragments(genomes: NDArray[np.int64], settings: Settings) -> NDArray[np.int64]:
    """Choose the fragments that pairs may be made of.

    Genomes are drawn until they have as many as wanted in all; the last one gives only what is missing, and
    none if that were fewer than the minimum.

    Parameters
    ----------
    genomes : np.ndarray, shape=(n,)
        Number of each fragment's genome.
    settings
        Their ``min_fragments``, ``max_fragments``, ``sequences`` and ``seed`` are used.

    Returns
    -------
    np.ndarray, shape=(chosen,)
        Their rows, rising.

    Raises
    ------
    DnapairError
        If there are fewer than wanted.
    """
    minimum, total = settings.min_fragments, settings.sequences
    rng = np.random.default_rng([settings.seed, 2])
    counts = np.bincount(genomes)
    sizes = np.minimum(counts, settings.max_fragments or counts.max(initial=0))
    sizes[sizes < minimum] = 0
    if total is not None:
        if sizes.sum() < total:
            raise DnapairError(
                f"--sequences {total}: only {sizes.sum()} fragments may be used, of "
                f"{np.count_nonzero(sizes)} genomes with at least {minimum}. Ask for at most that many; or "
                "lower --min-fragments or --length, or raise --max-fragments."
            )
        drawn = rng.permutation(len(sizes))
        before = np.cumsum(sizes[drawn]) - sizes[drawn]
        sizes[drawn] = np.minimum(sizes[drawn], np.maximum(total - before, 0))
        sizes[sizes < minimum] = 0
    shuffled, place = by_genome(genomes, rng)
    return np.sort(shuffled[place < sizes[genomes[shuffled]]])


def split_genomes(genomes: NDArray[np.int64], val: float, test: float, seed: int) -> NDArray[np.int64]:
    """Split the genomes at random.

    Parameters
    ----------
    genomes : np.ndarray, shape=(n,)
        Number of each fragment's genome.
    val, test
        Shares of the genomes.
    seed
        The same seed gives the same splits.

    Returns
    -------
    np.ndarray, shape=(n,)
        Number of each fragment's split in :data:`dnapair.data.splits.SPLITS`.
    """
    names, numbers = np.unique(genomes, return_inverse=True)
    drawn = np.random.default_rng([seed, 3]).permutation(len(names))
    in_val, in_test = round(val * len(names)), round(test * len(names))
    splits = np.zeros(len(names), np.int64)
    splits[drawn[:in_val]] = 1
    splits[drawn[in_val : in_val + in_test]] = 2
    return splits[numbers]


def by_genome(
    genomes: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort fragments by genome, within it at random; give each one's place in its genome too."""
    drawn = rng.permutation(len(genomes))
    rows = drawn[np.argsort(genomes[drawn], kind="stable")]
    starts = np.searchsorted(genomes[rows], genomes[rows])
    return rows, np.arange(len(rows)) - starts
