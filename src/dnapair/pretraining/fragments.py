"""Fragments of genomes, drawn anew for every step: the step's number is all that a resumed run needs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.embedding.kmers import NOT_A_BASE
from dnapair.errors import DnapairError
from dnapair.pretraining.corpus import Corpus

_ROUNDS = 100


class Fragments(NamedTuple):
    """Fragments, one a row.

    Attributes
    ----------
    bases : np.ndarray, shape=(n, crop)
        uint8: A, T, C, G = 0 to 3, 4 for any other letter and beyond a fragment's end.
    lengths : np.ndarray, shape=(n,)
        In bases.
    """

    bases: NDArray[np.uint8]
    lengths: NDArray[np.int64]


def turn(fragments: Fragments) -> Fragments:
    """Return the reverse complement of each fragment."""
    columns = np.arange(fragments.bases.shape[1])
    sources = fragments.lengths[:, None] - 1 - columns
    bases = np.take_along_axis(fragments.bases, np.maximum(sources, 0), axis=1)
    # A, T, C, G = 0 to 3: a base and its complement differ in the last bit
    bases = np.where(bases < NOT_A_BASE, bases ^ 1, bases)
    bases[sources < 0] = NOT_A_BASE
    return Fragments(bases, fragments.lengths)


class Sampler:
    """Draws fragments from a corpus; the same step gives the same ones.

    Two fragments of one genome lie in different records where it has several, and never overlap.

    Parameters
    ----------
    corpus
        The genomes.
    crop
        Length of a fragment in bases; a shorter record is used whole.
    reverse_complement
        Whether half of the fragments are turned to the opposite strand.
    seed
        Of all draws.
    """

    def __init__(self, corpus: Corpus, crop: int, reverse_complement: bool, seed: int) -> None:
        self.corpus = corpus
        self.crop = crop
        self.reverse_complement = reverse_complement
        self.seed = seed
        counts = np.bincount(corpus.genomes, minlength=len(corpus.names))
        self._rows = np.searchsorted(corpus.genomes, np.arange(len(corpus.names) + 1))
        self._single = counts == 1
        spans = np.diff(corpus.starts[self._rows])
        self.paired = np.flatnonzero((counts > 1) | (spans >= 2 * crop))
        """Numbers of the genomes that can give two fragments."""

    def check_pairs(self, pairs: int) -> None:
        """Refuse a batch of more pairs than there are genomes for.

        Raises
        ------
        DnapairError
            Names a genome that has one fragment only, if there is one.
        """
        if pairs <= len(self.paired):
            return
        single = sorted(set(range(len(self.corpus.names))) - set(self.paired.tolist()))
        because = (
            f" {len(single)} genome(s) have one fragment only ({self.corpus.names[single[0]]} for one): "
            f"a genome needs two records, or one of {2 * self.crop} bases."
            if single
            else ""
        )
        raise DnapairError(
            f"A batch takes {pairs} pairs of fragments, each from another genome, but only "
            f"{len(self.paired)} genome(s) can give two.{because} Lower pretrain.contrastive.batch_pairs and "
            "pretrain.warm_start.batch_pairs, or add genomes."
        )

    def pairs(self, step: int, count: int) -> Fragments:
        """Draw pairs of fragments, each pair from another genome.

        Parameters
        ----------
        step
            Number of the step.
        count
            Number of pairs, at most that of the genomes.

        Returns
        -------
        Fragments
            ``2 * count`` rows: row ``i`` and row ``count + i`` are of one genome.
        """
        rng = np.random.default_rng([self.seed, 2, step])
        genomes = rng.choice(self.paired, count, replace=False)
        first = self._place(genomes, rng)
        second = self._place(genomes, rng)
        for _ in range(_ROUNDS):
            clash = self._clash(genomes, first, second)
            if not clash.any():
                break
            first[clash] = self._place(genomes[clash], rng)
            second[clash] = self._place(genomes[clash], rng)
        return self._cut(np.concatenate([first, second]), rng)

    def single(self, step: int, count: int) -> Fragments:
        """Draw fragments from anywhere: long records give more than short ones."""
        rng = np.random.default_rng([self.seed, 3, step])
        bases = rng.integers(0, len(self.corpus.bases), count)
        return self._cut(self._start(np.searchsorted(self.corpus.starts, bases, side="right") - 1, rng), rng)

    def _place(self, genomes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the start of a fragment in any record of each genome."""
        count = self._rows[genomes + 1] - self._rows[genomes]
        record = self._rows[genomes] + (rng.random(len(genomes)) * count).astype(np.int64)
        return self._start(record, rng)

    def _start(self, record: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        begin, end = self.corpus.starts[record], self.corpus.starts[record + 1]
        room = np.maximum(end - begin - self.crop, 0) + 1
        start: NDArray[np.int64] = begin + (rng.random(len(record)) * room).astype(np.int64)
        return start

    def _clash(
        self, genomes: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        starts = self.corpus.starts
        same = np.searchsorted(starts, first, side="right") == np.searchsorted(starts, second, side="right")
        overlap = np.abs(first - second) < self.crop
        clash: NDArray[np.bool_] = np.where(self._single[genomes], overlap, same)
        return clash

    def _cut(self, begin: NDArray[np.int64], rng: np.random.Generator) -> Fragments:
        starts = self.corpus.starts
        end = starts[np.searchsorted(starts, begin, side="right")]
        lengths = np.minimum(end - begin, self.crop)
        columns = np.arange(self.crop)
        bases = self.corpus.bases[np.minimum(begin[:, None] + columns, len(self.corpus.bases) - 1)]
        bases[columns >= lengths[:, None]] = NOT_A_BASE
        forward = Fragments(bases, lengths)
        if not self.reverse_complement:
            return forward
        turned = rng.random(len(begin)) < 0.5
        return Fragments(np.where(turned[:, None], turn(forward).bases, bases), lengths)
