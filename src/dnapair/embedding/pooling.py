"""From one vector a token to one vector a sequence."""

from typing import Literal

import torch

Pooling = Literal["mean", "cls", "max"]


class Pool:
    """Adds up the windows of many sequences, so that a long sequence's windows may come in any order.

    Parameters
    ----------
    count
        Number of sequences.
    dimensions
        Length of an embedding.
    pooling
        ``mean`` over the real k-mers (no [PAD], [CLS], [SEP], [UNK]), and so length-weighted over windows;
        ``cls``, length-weighted over windows; ``max`` over the real k-mers.
    device
        Where the sums are kept.
    """

    def __init__(self, count: int, dimensions: int, pooling: Pooling, device: torch.device) -> None:
        self.pooling = pooling
        start = float("-inf") if pooling == "max" else 0.0
        self._values = torch.full((count, dimensions), start, device=device)
        self._weights = torch.zeros(count, device=device)

    def add(self, hidden: torch.Tensor, real: torch.Tensor, owners: torch.Tensor) -> None:
        """Add windows.

        Parameters
        ----------
        hidden : torch.Tensor, shape=(n, length, d)
            The encoder's last layer.
        real : torch.Tensor, shape=(n, length)
            True for the k-mers that count.
        owners : torch.Tensor, shape=(n,)
            The sequence of each window.
        """
        counts = real.sum(1).to(hidden.dtype)
        if self.pooling == "max":
            highest = hidden.masked_fill(~real[:, :, None], float("-inf")).amax(1)
            self._values.scatter_reduce_(0, owners[:, None].expand_as(highest), highest, "amax")
        elif self.pooling == "cls":
            self._values.index_add_(0, owners, hidden[:, 0] * counts[:, None])
        else:
            self._values.index_add_(0, owners, (real[:, None].to(hidden.dtype) @ hidden)[:, 0])
        self._weights.index_add_(0, owners, counts)

    def result(self) -> torch.Tensor:
        """Return the embeddings, shape=(count, dimensions)."""
        return self._values if self.pooling == "max" else self._values / self._weights[:, None]
