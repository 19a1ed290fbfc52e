"""Sequences in, embeddings out."""

import ctypes
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dnapair.data.sequences import reverse_complement
from dnapair.embedding.batching import batches
from dnapair.embedding.bert import Bert
from dnapair.embedding.cpu_bert import CpuBert
from dnapair.embedding.encoder import Encoder
from dnapair.embedding.pooling import Pooling, join_windows
from dnapair.errors import DnapairError
from dnapair.machine.processor import has_bfloat16

BATCH_TOKENS = 4096
"""Of a batch on a CPU: more does not pay."""
PART_LETTERS = 2**22
"""Bases that are tokens at a time, as a rule."""

Strand = Literal["forward", "both"]
Precision = Literal["auto", "float32", "bfloat16"]


class Embedder:
    """An encoder with a way to pool and a way to treat strands.

    A sequence's embedding does not depend on its neighbours in a batch, but for rounding (1e-5 in float32).

    Parameters
    ----------
    encoder
        The encoder.
    pooling
        ``mean``, ``cls`` or ``max``, see :data:`~dnapair.embedding.pooling.Pooling`.
    strand
        ``forward``, or ``both``: the mean over the sequence and its reverse complement.
    normalize
        Whether embeddings are brought to length 1, so that only their direction counts.
    precision
        ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor or the GPU has units for it.
    device
        ``auto`` (CUDA where there is a GPU), ``cpu`` or ``cuda``.
    batch_tokens
        The most tokens in one batch; None for what suits the device.

    Attributes
    ----------
    precision : str
        The one in use.

    Raises
    ------
    DnapairError
        If a GPU is asked for and there is none.
    """

    def __init__(
        self,
        encoder: Encoder,
        pooling: Pooling,
        strand: Strand,
        normalize: bool,
        precision: Precision = "auto",
        device: str = "auto",
        batch_tokens: int | None = None,
    ) -> None:
        self.encoder = encoder
        self.pooling = pooling
        self.strand = strand
        self.normalize = normalize
        self._batch_tokens = batch_tokens or BATCH_TOKENS
        vocabulary = encoder.vocabulary
        self._is_kmer = np.ones(vocabulary.size, bool)
        self._is_kmer[[vocabulary.pad, vocabulary.unk, vocabulary.cls, vocabulary.sep]] = False
        self.precision = choose_precision(precision, device)
        self._bert = open_bert(encoder, pooling, self.precision, device, batch_tokens)

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """Embed sequences.

        Parameters
        ----------
        sequences
            Upper-case letters; each has at least one k-mer of A, C, G and T alone
            (:func:`check_embeddable` says which has not).

        Returns
        -------
        np.ndarray, shape=(len(sequences), dimensions)
            float32.
        """
        none = np.empty((0, self.encoder.dimensions), np.float32)
        return np.concatenate([none, *map(self._embed_part, _parts(sequences))])

    def _embed_part(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        if self.strand == "both":
            strands = self._embed_strands([*sequences, *map(reverse_complement, sequences)])
            values: NDArray[np.float32] = strands.reshape(2, len(sequences), -1).mean(axis=0)
        else:
            values = self._embed_strands(sequences)
        if self.normalize:
            lengths = np.linalg.norm(values, axis=1, keepdims=True)
            values /= np.where(lengths > 0, lengths, np.float32(1))
        return values

    def _embed_strands(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        vocabulary = self.encoder.vocabulary
        cut = list(batches(sequences, vocabulary, self.encoder.window, self._batch_tokens))
        real = [self._is_kmer[batch.ids] for batch in cut]
        values = self._bert.run([(batch.ids, mask) for batch, mask in zip(cut, real, strict=True)])
        counts = [mask.sum(axis=1) for mask in real]
        owners = [batch.owners for batch in cut]
        return join_windows(len(sequences), self.pooling, zip(values, owners, counts, strict=True))


def _parts(sequences: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a list where the letters would be too many for memory: tokens take up some 30 bytes a letter."""
    start = letters = 0
    for place, sequence in enumerate(sequences):
        letters += len(sequence)
        if letters > PART_LETTERS and place > start:
            yield sequences[start:place]
            start, letters = place, len(sequence)
    if start < len(sequences):
        yield sequences[start:]


def open_bert(
    encoder: Encoder,
    pooling: Pooling,
    precision: Literal["float32", "bfloat16"],
    device: str = "auto",
    batch_tokens: int | None = None,
) -> Bert:
    """Lay an encoder's BERT out for a device.

    Parameters
    ----------
    encoder, pooling, device, batch_tokens
        As for :class:`Embedder`.
    precision
        As :func:`choose_precision` settles it.

    Raises
    ------
    DnapairError
        If a GPU is asked for and there is none.
    """
    if choose_device(device, "embed.device") == "cuda":
        # the CPU's way does without what compiles for a GPU
        from dnapair.embedding.gpu_bert import GpuBert

        return GpuBert(encoder.weights, encoder.shape, pooling, precision, batch_tokens)
    return CpuBert(encoder.weights, encoder.shape, pooling, precision)


def check_embeddable(sequences: Sequence[str], names: Sequence[str], k: int) -> None:
    """Refuse sequences without a single k-mer of A, C, G and T alone.

    Parameters
    ----------
    sequences
        Upper-case letters.
    names
        What to call each in the message.
    k
        Length of a k-mer in bases.

    Raises
    ------
    DnapairError
        Names the first five, and how many there are.
    """
    clean = re.compile(f"[ACGT]{{{k}}}")
    bad = [place for place, sequence in enumerate(sequences) if clean.search(sequence) is None]
    if bad:
        shown = ", ".join(f"{names[place]} ({len(sequences[place])} letters)" for place in bad[:5])
        raise DnapairError(
            f"{len(bad)} sequence(s) can't be embedded, because they have no {k}-mer of A, C, G and T alone: "
            f"{shown}. Remove them, or use an encoder with a smaller k (encoder.source)."
        )


def choose_precision(precision: Precision, device: str) -> Literal["float32", "bfloat16"]:
    """Settle the precision: ``auto`` is bfloat16 where this machine has units for it.

    Parameters
    ----------
    precision
        ``auto``, ``float32`` or ``bfloat16``.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    DnapairError
        If it asks for a GPU, or for bfloat16, and there is none.
    """
    if precision == "float32":
        return precision
    able = choose_device(device, "embed.device") == "cuda" or has_bfloat16()
    if precision == "bfloat16" and not able:
        raise DnapairError(
            "embed.precision: bfloat16, but this processor has no units for it, so it would be slow. "
            "Set it to auto or float32."
        )
    return "bfloat16" if able else "float32"


def choose_device(name: str, setting: str) -> Literal["cpu", "cuda"]:
    """Return the device that a setting asks for.

    Parameters
    ----------
    name
        ``auto`` (CUDA where there is a GPU), ``cpu`` or ``cuda``.
    setting
        The setting's name, for the message.

    Raises
    ------
    DnapairError
        If it asks for a GPU and there is none.
    """
    found = name != "cpu" and _has_gpu()
    if name == "cuda" and not found:
        raise DnapairError(f"{setting}: cuda, but PyTorch sees no GPU here. Set it to auto or cpu.")
    return "cuda" if found else "cpu"


def _has_gpu() -> bool:
    """Tell whether PyTorch sees a GPU."""
    # without the driver of one there is none, and no wait for PyTorch
    if not Path("/dev/kfd").exists():
        try:
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            return False
    import torch

    return torch.cuda.is_available()
