"""What an encoder is pretrained on: the genes of named genomes, packed into one array of bases."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.data.genomes import genome_finder
from dnapair.data.raw_files import listing
from dnapair.data.sequences import fasta_records, record_sequence
from dnapair.data.splits import SPLITS
from dnapair.embedding.kmers import base_codes
from dnapair.errors import DnapairError
from dnapair.storage.numeric_columns import column_names, read_table


class Corpus(NamedTuple):
    """Records of FASTA files, one after the other, sorted by genome.

    Attributes
    ----------
    bases : np.ndarray, shape=(total,)
        uint8: A, T, C, G = 0 to 3, any other letter 4.
    starts : np.ndarray, shape=(records + 1,)
        Record ``i`` is ``bases[starts[i]:starts[i + 1]]``.
    genomes : np.ndarray, shape=(records,)
        Number of each record's genome, never falling.
    names : list of str
        Name of each genome, sorted.
    left_out : int
        Records that were read and not kept: too short, or of a genome that is too small or not to be seen.
    """

    bases: NDArray[np.uint8]
    starts: NDArray[np.int64]
    genomes: NDArray[np.int64]
    names: list[str]
    left_out: int

    @property
    def records(self) -> int:
        """Number of records."""
        return len(self.genomes)

    def without(self, genomes: Collection[str]) -> "Corpus":
        """Return the corpus without some of its genomes."""
        kept = np.array([number for number, name in enumerate(self.names) if name not in genomes], np.int64)
        rows = np.flatnonzero(np.isin(self.genomes, kept))
        parts = [self.bases[self.starts[row] : self.starts[row + 1]] for row in rows]
        names = [self.names[number] for number in kept]
        left_out = self.left_out + self.records - len(rows)
        return _pack(parts, np.searchsorted(kept, self.genomes[rows]), names, left_out)


class PairGenomes(NamedTuple):
    """Genomes that the pairs name.

    Attributes
    ----------
    every : frozenset of str
        Of all pairs.
    unseen : frozenset of str
        Those that a val or test pair has.
    """

    every: frozenset[str]
    unseen: frozenset[str]


def read_corpus(
    files: Sequence[Path], pattern: str, genomes: PairGenomes | None, minimum: int, smallest: int, named: bool
) -> Corpus:
    """Read the records that an encoder may be pretrained on.

    Parameters
    ----------
    files
        FASTA files, plain or packed.
    pattern
        Regular expression searched in each header; its first group that matched is the genome's name.
    genomes
        Those of the pairs: unseen ones are left out, and any record without a name; None: no record is.
    minimum
        Records shorter than this, in bases, are left out.
    smallest
        Genomes whose records have fewer bases together are left out.
    named
        Whether every record must have a genome, as the contrastive objective needs it. Where it need not,
        a record without one is a genome of its own.

    Returns
    -------
    Corpus
        At least one record.

    Raises
    ------
    DnapairError
        If a file can't be read, the pattern is none, a header has no genome where one is needed, no header
        names a genome of the pairs, or nothing is left.
    """
    find_genome = genome_finder(pattern, "pretrain.genome")
    packed: list[NDArray[np.uint8]] = []
    found: list[str] = []
    there: set[str] = set()
    longest: int | None = None
    total = 0
    for file in files:
        for number, header, text in fasta_records(file):
            total += 1
            name = find_genome(header)
            if name is None:
                if genomes:
                    continue
                if named:
                    raise _no_genome(file, number, header, pattern)
                name = f"{file.name}, record {number}"
            there.add(name)
            if genomes and name in genomes.unseen:
                continue
            longest = max(longest or 0, len(text))
            if len(text) >= minimum:
                packed.append(base_codes(record_sequence(file, number, text)))
                found.append(name)
    if genomes and not genomes.every & there:
        raise _other_genomes(files, pattern, genomes.every, there)
    if not found:
        raise _nothing_left(files, longest, minimum)
    names, numbers = np.unique(np.array(found), return_inverse=True)
    sizes = np.bincount(numbers, [len(bases) for bases in packed])
    if sizes.max() < smallest:
        raise _too_small(files, names[sizes.argmax()], int(sizes.max()), smallest)
    order = np.argsort(numbers, kind="stable")
    corpus = _pack([packed[row] for row in order], numbers[order], names.tolist(), total - len(found))
    small = set(names[sizes < smallest].tolist())
    return corpus.without(small) if small else corpus


def pair_genomes(pairs: Path, columns: Sequence[str]) -> PairGenomes:
    """Name the genomes of the pairs, and those that a val or test pair has.

    Parameters
    ----------
    pairs
        artifacts/dataset/pairs.parquet.
    columns
        Its columns that name a pair's genomes.

    Raises
    ------
    DnapairError
        If there is no such column.
    """
    there = column_names(pairs)
    missing = [column for column in columns if column not in there]
    if missing:
        raise DnapairError(
            f"pretrain.unseen_genomes: the pairs have no column {missing[0]!r}; they have "
            f"{', '.join(there)}. Name others, or set it to null to use every genome of the FASTA, val's and "
            "test's too."
        )
    table = read_table(pairs, ["split", *columns]).to_pandas()
    train = table["split"] == SPLITS[0]
    # a pair may name none
    every, unseen = (frozenset(rows[columns].melt()["value"].dropna()) for rows in (table, table[~train]))
    return PairGenomes(every, unseen)


def held_out(names: Sequence[str], share: float, seed: int) -> list[str]:
    """Draw the genomes that are kept from pretraining, so that what learns on top sees unseen ones too."""
    count = round(share * len(names))
    drawn = np.random.default_rng([seed, 1]).permutation(len(names))[:count]
    return sorted(names[number] for number in drawn)


def _pack(
    parts: list[NDArray[np.uint8]], genomes: NDArray[np.int64], names: list[str], left_out: int
) -> Corpus:
    lengths = np.array([len(part) for part in parts], np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return Corpus(np.concatenate([np.empty(0, np.uint8), *parts]), starts, genomes, names, left_out)


def _no_genome(file: Path, number: int, header: str, pattern: str) -> DnapairError:
    return DnapairError(
        f"{file}, record {number} (>{header}) names no genome: nothing in its header fits {pattern!r} "
        "(pretrain.genome). The contrastive objective needs to know which records are of one genome. Write "
        "`genome=NAME` into the headers, set pretrain.genome to what they have, or have it learn masked "
        "k-mers alone, which need no genomes: set pretrain.contrastive.weight: 0, "
        "pretrain.warm_start.steps: 0 and pretrain.steps: 20000."
    )


def _other_genomes(
    files: Sequence[Path], pattern: str, wanted: Collection[str], there: Collection[str]
) -> DnapairError:
    named = f"such as {min(there)}" if there else "none at all"
    return DnapairError(
        f"{_names(files)}: no record is of a genome that a pair names, so those of val and test can't be "
        f"left out. Names are looked for by {pattern!r} (pretrain.genome) in the headers, and are {named}; "
        f"the pairs name these:\n{listing(sorted(wanted), len(wanted))}\nMend pretrain.genome, or set "
        "pretrain.unseen_genomes: null where the FASTA has no genome of the pairs."
    )


def _nothing_left(files: Sequence[Path], longest: int | None, minimum: int) -> DnapairError:
    if longest is None:
        return DnapairError(
            f"{_names(files)}: every record is of a genome that a val or test pair has, or of none. Add "
            "other genomes, or split by genome (split.method: grouped)."
        )
    return DnapairError(
        f"{_names(files)}: no record is as long as pretrain.min_length, {minimum} bases; the longest has "
        f"{longest}. Lower pretrain.min_length, and pretrain.crop with it."
    )


def _too_small(files: Sequence[Path], name: str, size: int, smallest: int) -> DnapairError:
    return DnapairError(
        f"{_names(files)}: no genome's records have pretrain.min_genome, {smallest} bases, together; "
        f"{name} has the most, {size}. Lower pretrain.min_genome."
    )


def _names(files: Sequence[Path]) -> str:
    return ", ".join(str(file) for file in files)
