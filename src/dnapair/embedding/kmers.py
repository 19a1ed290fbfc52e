"""Sequences to k-mer ids: what DNABERT's tokenizer does, by array arithmetic."""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.errors import DnapairError

BASES = "ATCG"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

NOT_A_BASE = 4
"""Code of any letter but A, T, C and G, which have 0 to 3."""

_LARGEST_FILE = 2**20
_BASE_CODES = np.full(256, NOT_A_BASE, np.uint8)
_BASE_CODES[[ord(base) for base in BASES]] = range(4)


class KmerVocabulary(NamedTuple):
    """A checkpoint's k-mers and the ids it knows them by.

    Attributes
    ----------
    k : int
        Length of a k-mer in bases.
    ids : np.ndarray, shape=(4 ** k,)
        Id of each k-mer, in the order of ``itertools.product("ATCG", repeat=k)``.
    pad, unk, cls, sep, mask : int
        Ids of the special tokens; where a checkpoint has no [MASK], ``mask`` is ``unk``.
    size : int
        Number of tokens, special ones included.
    """

    k: int
    ids: NDArray[np.int64]
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int
    size: int

    @classmethod
    def standard(cls, k: int) -> "KmerVocabulary":
        """Return DNABERT's own vocabulary: five special tokens, then the k-mers in A, T, C, G order."""
        return cls(k, np.arange(4**k) + len(SPECIAL_TOKENS), 0, 1, 2, 3, 4, 4**k + len(SPECIAL_TOKENS))

    @classmethod
    def from_file(cls, path: Path) -> "KmerVocabulary":
        """Read a checkpoint's ``vocab.txt``, one token a line.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        KmerVocabulary
            With k found from the tokens.

        Raises
        ------
        DnapairError
            If a special token or a k-mer is missing, or there are k-mers of no length from 3 to 6.
        """
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise DnapairError(f"{path} has more than {_LARGEST_FILE:,} bytes: it lists no k-mers.")
            tokens = path.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            raise DnapairError(f"{path} is missing: a DNABERT checkpoint lists its k-mers there.") from None
        except UnicodeDecodeError:
            raise DnapairError(f"{path} is not text, so it is not a vocabulary of k-mers.") from None
        index = {token: position for position, token in enumerate(tokens)}
        missing = [token for token in SPECIAL_TOKENS[:4] if token not in index]
        if missing:
            raise DnapairError(f"{path} has no {', '.join(missing)}: it is not the vocabulary of a DNABERT.")
        lengths = {len(token) for token in index if set(token) <= set(BASES)} & {3, 4, 5, 6}
        if len(lengths) != 1:
            raise DnapairError(
                f"{path} has k-mers of {sorted(lengths) or 'no'} length(s), not of one k from 3 to 6. "
                "Set encoder.source to a k-mer checkpoint such as zhihan1996/DNA_bert_6."
            )
        k = lengths.pop()
        kmers = ["".join(letters) for letters in product(BASES, repeat=k)]
        absent = [kmer for kmer in kmers if kmer not in index]
        if absent:
            raise DnapairError(
                f"{path} lacks {len(absent)} of the {len(kmers)} {k}-mers, {absent[0]} for one: "
                "it is not the vocabulary of a DNABERT."
            )
        pad, unk, begin, end = (index[token] for token in SPECIAL_TOKENS[:4])
        mask = index.get("[MASK]", unk)
        return cls(k, np.array([index[kmer] for kmer in kmers]), pad, unk, begin, end, mask, len(tokens))

    def write(self, path: Path) -> None:
        """Write ``vocab.txt``; tokens that are neither special nor k-mers are called unused there."""
        tokens = [f"[unused{number}]" for number in range(self.size)]
        special = (self.pad, self.unk, self.cls, self.sep, self.mask)
        # a checkpoint without [MASK] has the id of [UNK] there, which is written last
        for number, token in reversed([*zip(special, SPECIAL_TOKENS, strict=True)]):
            tokens[number] = token
        for number, letters in zip(self.ids, product(BASES, repeat=self.k), strict=True):
            tokens[number] = "".join(letters)
        path.write_text("\n".join(tokens) + "\n", encoding="utf-8")

    def encode(self, sequence: str) -> NDArray[np.int64]:
        """Return the ids of a sequence's overlapping k-mers.

        Parameters
        ----------
        sequence
            Upper-case letters, at least k of them.

        Returns
        -------
        np.ndarray, shape=(len(sequence) - k + 1,)
            A k-mer that touches a letter outside ACGT is ``unk``, as DNABERT's tokenizer has it.
        """
        return self.encode_bases(base_codes(sequence))

    def encode_bases(self, bases: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Do what :meth:`encode` does, for what :func:`base_codes` gives, one sequence a row or one alone."""
        kmers = codes_of_bases(bases, self.k)
        ids = self.ids[np.maximum(kmers, 0)]
        ids[kmers < 0] = self.unk
        return ids


def base_codes(sequence: str) -> NDArray[np.uint8]:
    """Return each letter as a number: A, T, C, G = 0 to 3, any other letter 4; shape=(len(sequence),)."""
    return _BASE_CODES[np.frombuffer(sequence.encode("ascii", "replace"), np.uint8)]


def kmer_codes(sequence: str, k: int) -> NDArray[np.int64]:
    """Return each overlapping k-mer as a number in base 4 (A, T, C, G = 0 to 3), or -1.

    Parameters
    ----------
    sequence
        Upper-case letters.
    k
        Length of a k-mer in bases.

    Returns
    -------
    np.ndarray, shape=(max(len(sequence) - k + 1, 0),)
        -1 where a k-mer touches a letter outside ACGT.
    """
    return codes_of_bases(base_codes(sequence), k)


def codes_of_bases(bases: NDArray[np.uint8], k: int) -> NDArray[np.int64]:
    """Do what :func:`kmer_codes` does, for many sequences of one length at once.

    Parameters
    ----------
    bases : np.ndarray, shape=(..., length)
        As :func:`base_codes` gives them.
    k
        Length of a k-mer in bases.

    Returns
    -------
    np.ndarray, shape=(..., max(length - k + 1, 0))
        -1 where a k-mer touches a letter outside ACGT.
    """
    count = max(bases.shape[-1] - k + 1, 0)
    codes = np.zeros((*bases.shape[:-1], count), np.int64)
    unknown = np.zeros(codes.shape, bool)
    for offset in range(k):
        part = bases[..., offset : offset + count]
        codes = codes * 4 + part
        unknown |= part == NOT_A_BASE
    codes[unknown] = -1
    return codes


def complement_codes(k: int) -> NDArray[np.int64]:
    """Return the code of each k-mer's reverse complement, shape=(4 ** k,)."""
    codes = np.arange(4**k)
    complements = np.zeros_like(codes)
    for _ in range(k):
        # A, T, C, G = 0 to 3: a base and its complement differ in the last bit
        complements = complements * 4 + (codes % 4 ^ 1)
        codes //= 4
    return complements
