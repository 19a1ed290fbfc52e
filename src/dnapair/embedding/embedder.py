"""Sequences in, embeddings out."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dnapair.embedding.batching import Batch, batches
from dnapair.embedding.encoder import Encoder
from dnapair.embedding.pooling import Pool, Pooling
from dnapair.errors import DnapairError
from dnapair.sequences import reverse_complement

Strand = Literal["forward", "both"]


class Embedder:
    """An encoder with a way to pool and a way to treat strands.

    A sequence's embedding does not depend on its neighbours in a batch, but for rounding (1e-5).

    Parameters
    ----------
    encoder
        The encoder.
    pooling
        ``mean``, ``cls`` or ``max``, see :class:`~dnapair.embedding.pooling.Pool`.
    strand
        ``forward``, or ``both``: the mean over the sequence and its reverse complement.
    normalize
        Whether embeddings are brought to length 1, so that only their direction counts.
    batch_tokens
        The most tokens in one batch.
    device
        ``auto`` (CUDA where there is a GPU), ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        encoder: Encoder,
        pooling: Pooling,
        strand: Strand,
        normalize: bool,
        batch_tokens: int,
        device: str = "auto",
    ) -> None:
        self.encoder = encoder
        self.pooling = pooling
        self.strand = strand
        self.normalize = normalize
        self.batch_tokens = batch_tokens
        self.device = choose_device(device, "embed.device")
        self.encoder.model.to(self.device)

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
        if not sequences:
            return np.empty((0, self.encoder.dimensions), np.float32)
        values = self._embed_strand(sequences)
        if self.strand == "both":
            values += self._embed_strand([reverse_complement(sequence) for sequence in sequences])
            values /= 2
        if self.normalize:
            lengths = np.linalg.norm(values, axis=1, keepdims=True)
            values /= np.where(lengths > 0, lengths, 1)
        return values

    @torch.inference_mode()
    def _embed_strand(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        encoder = self.encoder
        pool = Pool(len(sequences), encoder.dimensions, self.pooling, self.device)
        for batch in batches(sequences, encoder.vocabulary, encoder.window, self.batch_tokens):
            self._add(batch, pool)
        return np.asarray(pool.result().cpu().numpy(), np.float32)

    def _add(self, batch: Batch, pool: Pool) -> None:
        vocabulary = self.encoder.vocabulary
        ids = torch.from_numpy(batch.ids).to(self.device)
        # windows of one length need no mask, and attention without one is faster
        mask = (ids != vocabulary.pad).long() if batch.padded else None
        hidden = self.encoder.model(input_ids=ids, attention_mask=mask).last_hidden_state
        special = torch.tensor(
            [vocabulary.pad, vocabulary.unk, vocabulary.cls, vocabulary.sep], device=self.device
        )
        pool.add(hidden, ~torch.isin(ids, special), torch.from_numpy(batch.owners).to(self.device))


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


def choose_device(name: str, setting: str) -> torch.device:
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
    if name == "cuda" and not torch.cuda.is_available():
        raise DnapairError(f"{setting}: cuda, but PyTorch sees no GPU here. Set it to auto or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
