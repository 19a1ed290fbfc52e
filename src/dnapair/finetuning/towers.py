"""What is trained: an encoder in either of its two forms, and the residual network on a pair's features."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from dnapair.embedding.kmers import KmerVocabulary
from dnapair.finetuning.bag import Bags, LabelledBag, pack
from dnapair.finetuning.pairs import Lesson
from dnapair.finetuning.tokens import Tokens
from dnapair.networks.torch_net import TorchNet
from dnapair.networks.weights import initial_weights
from dnapair.training.loop import Pairs

_BUCKET = 32
"""Windows whose lengths differ by less go through a BERT together."""
_SPREAD = 0.35
"""Standard deviation of what the network sees of an embedding, about that of one scaled to [-1, 1]."""


class Tower(Protocol):
    """An encoder that can be trained."""

    module: nn.Module
    device: torch.device

    def read(self, rows: NDArray[np.int64], seed: int | None) -> Any:
        """Make sequences into what :meth:`embed` takes; a seed means training: k-mers may be dropped."""

    def embed(self, read: Any) -> torch.Tensor:
        """Return embeddings, shape=(sequences, d)."""


class BagTower:
    """The net over bags of k-mers, on the CPU.

    Parameters
    ----------
    bag
        What is trained.
    tokens
        All sequences.
    dropped
        Share of the k-mers left out in training.
    """

    def __init__(self, bag: LabelledBag, tokens: Tokens, dropped: float) -> None:
        self.module: nn.Module = bag
        self.device = torch.device("cpu")
        self._bag = bag
        self._tokens = tokens
        self._dropped = dropped

    def read(self, rows: NDArray[np.int64], seed: int | None) -> Bags:
        """Put the sequences' k-mers into bags."""
        return pack(self._tokens, rows, 0.0 if seed is None else self._dropped, seed or 0)

    def embed(self, read: Bags) -> torch.Tensor:
        """Return embeddings."""
        return self._bag.embed_bags(read)


class Batch(NamedTuple):
    """Windows of about one length.

    Attributes
    ----------
    ids, kmers : torch.Tensor, shape=(n, length)
        Token ids, and 1 for real k-mers.
    mask : torch.Tensor, shape=(n, length), or None
        1 for what is no padding; None where nothing is.
    owners : torch.Tensor, shape=(n,)
        The sequence of each.
    """

    ids: torch.Tensor
    kmers: torch.Tensor
    mask: torch.Tensor | None
    owners: torch.Tensor


class BertTower:
    """A BERT, pooled as ``embed`` pools it: the mean over the real k-mers of all windows.

    Parameters
    ----------
    bert
        A transformers model, or one that peft has wrapped.
    vocabulary
        Its k-mers.
    tokens
        All sequences.
    both_strands
        Whether an embedding is the mean over both strands.
    device
        Where.
    """

    def __init__(
        self,
        bert: nn.Module,
        vocabulary: KmerVocabulary,
        tokens: Tokens,
        both_strands: bool,
        device: torch.device,
    ) -> None:
        self.module = bert.to(device)
        self.device = device
        self._vocabulary = vocabulary
        self._tokens = tokens
        self._both_strands = both_strands
        # the last one is for -1
        self._ids = np.append(vocabulary.ids, vocabulary.unk)

    def read(self, rows: NDArray[np.int64], seed: int | None) -> tuple[list[Batch], int]:
        """Cut both strands into windows, and put those of about one length together."""
        strands = [(self._tokens, rows)]
        if self._both_strands:
            strands.append((self._tokens.turned(rows), np.arange(rows.size)))
        found = [
            batch._replace(owners=batch.owners + strand * rows.size)
            for strand, (tokens, chosen) in enumerate(strands)
            for batch in self._batches(tokens, chosen)
        ]
        return found, rows.size

    def embed(self, read: tuple[Sequence[Batch], int]) -> torch.Tensor:
        """Return embeddings."""
        batches, count = read
        values, owners, weights = [], [], []
        for batch in batches:
            ids, kmers = batch.ids.to(self.device), batch.kmers.to(self.device)
            mask = None if batch.mask is None else batch.mask.to(self.device)
            hidden = self.module(input_ids=ids, attention_mask=mask).last_hidden_state.to(torch.float32)
            values.append((kmers[:, None] @ hidden)[:, 0])
            weights.append(kmers.sum(1, keepdim=True))
            owners.append(batch.owners.to(self.device))
        strands = 2 if self._both_strands else 1
        summed = torch.cat([torch.cat(values), torch.cat(weights)], dim=1)
        whole = torch.zeros(strands * count, summed.shape[1], device=self.device)
        whole = whole.index_add(0, torch.cat(owners), summed)
        means = whole[:, :-1] / whole[:, -1:].clamp(min=1)
        return means.view(strands, count, -1).mean(0)

    def _batches(self, tokens: Tokens, rows: NDArray[np.int64]) -> list[Batch]:
        windows = tokens.windows(rows)
        vocabulary = self._vocabulary
        buckets = windows.lengths // _BUCKET
        batches = []
        for bucket in np.unique(buckets):
            chosen = np.flatnonzero(buckets == bucket)
            lengths = windows.lengths[chosen, None]
            longest = int(lengths.max())
            places = np.arange(longest)
            inside = places < lengths
            at = windows.starts[chosen, None] + np.minimum(places, lengths - 1)
            codes = np.where(inside, tokens.codes[at], -1).astype(np.int64)
            ids = np.full((chosen.size, longest + 2), vocabulary.pad)
            ids[:, 0] = vocabulary.cls
            ids[:, 1:-1] = np.where(inside, self._ids[codes], vocabulary.pad)
            np.put_along_axis(ids, lengths + 1, vocabulary.sep, axis=1)
            kmers = np.pad(codes >= 0, ((0, 0), (1, 1))).astype(np.float32)
            mask = (np.arange(longest + 2) <= lengths + 1).astype(np.int64)
            batches.append(
                Batch(
                    torch.from_numpy(ids),
                    torch.from_numpy(kmers),
                    None if mask.all() else torch.from_numpy(mask),
                    torch.from_numpy(windows.owners[chosen]),
                )
            )
        return batches


class Draw(NamedTuple):
    """Some pairs, ready for :class:`PairNetwork`: their sequences each once, and the places of both."""

    rows: NDArray[np.int64]
    read: Any
    first: torch.Tensor
    second: torch.Tensor
    interactions: torch.Tensor | None
    labels: torch.Tensor


class PairNetwork(nn.Module):
    """An encoder, and the residual network that scores pairs by its embeddings.

    Parameters
    ----------
    tower
        The encoder.
    lesson
        What is learnt from.
    seed
        Of the network's first weights.
    dimensions
        Length of an embedding.
    """

    def __init__(self, tower: Tower, lesson: Lesson, dimensions: int, seed: int) -> None:
        super().__init__()
        self.encoder = tower.module
        self.head = TorchNet(lesson.head(dimensions))
        self.head.set_weights(initial_weights(self.head.spec, seed))
        self.head.to(tower.device)
        self.register_buffer("origin", torch.zeros(dimensions, device=tower.device))
        self.register_buffer("scale", torch.ones((), device=tower.device))
        self._tower = tower
        self._lesson = lesson

    def draw(self, pairs: Pairs, seed: int | None = None) -> Draw:
        """Read pairs; each of their sequences once."""
        rows, places = np.unique(np.stack([pairs.rows1, pairs.rows2]), return_inverse=True)
        first, second = torch.from_numpy(places.reshape(2, -1))
        interactions = None
        if self._lesson.interactions is not None:
            values = self._lesson.interactions[pairs.rows].astype(np.float32, copy=False)
            interactions = torch.from_numpy(values)
        labels = torch.from_numpy(pairs.labels)
        return Draw(rows, self.read(rows, seed), first, second, interactions, labels)

    def read(self, rows: NDArray[np.int64], seed: int | None = None) -> Any:
        """Read sequences for :meth:`embed`; a seed means training."""
        return self._tower.read(rows, seed)

    def embed(self, read: Any) -> torch.Tensor:
        """Return embeddings as ``embed`` makes them."""
        values = self._tower.embed(read)
        return functional.normalize(values, dim=1) if self._lesson.normalize else values

    def measure_scale(self, values: torch.Tensor) -> None:
        """Choose by some embeddings where the network's origin lies in them, and how large it sees them."""
        self.origin = values.mean(0)
        self.scale = _SPREAD / values.std().clamp(min=1e-6)

    def see(self, read: Any) -> torch.Tensor:
        """Return embeddings as the network sees them."""
        values: torch.Tensor = (self.embed(read) - self.origin) * self.scale
        return values

    def forward(self, draw: Draw) -> torch.Tensor:
        """Return logits, shape=(n,)."""
        return self.score(self.see(draw.read), draw)

    def score(self, values: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Return logits of pairs whose sequences were seen, shape=(n,)."""
        device = values.device
        inputs = [values[draw.first.to(device)], values[draw.second.to(device)]]
        if draw.interactions is not None:
            inputs.append(draw.interactions.to(device))
        logits: torch.Tensor = self.head(*inputs)
        return logits
