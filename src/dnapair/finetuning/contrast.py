"""Related pairs are drawn together, and apart from what is unrelated: the contrastive term of fine-tuning.

It is pretraining's, on pairs that are known to be related. Beside the other pairs of a batch, a pair is told
from hard negatives: the train sequences that lie nearest to it and are not known to be related.
Source: Xiong et al. 2021, "Approximate Nearest Neighbor Negative Contrastive Learning for Dense Text
Retrieval".
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from dnapair.finetuning.pairs import Lesson
from dnapair.pretraining.objectives import ask
from dnapair.training.loop import Pairs

_POOL = 4096
"""Sequences of a side, drawn anew each epoch, among which hard negatives are looked for."""


class ContrastSettings(NamedTuple):
    """How much the term counts, and against what.

    Attributes
    ----------
    weight : float
        Beside the cross-entropy.
    temperature : float
        Of the cosines.
    hard : int
        Hard negatives of each sequence of a related pair; 0: the other pairs of the batch alone.
    """

    weight: float
    temperature: float
    hard: int


class Related(NamedTuple):
    """Pairs that are related, and their embeddings.

    Attributes
    ----------
    rows : np.ndarray, shape=(2, n)
        Their sequences.
    values : torch.Tensor, shape=(2, n, d)
        What these embed to.
    """

    rows: NDArray[np.int64]
    values: torch.Tensor


class Relations:
    """Which sequences are known to be related.

    Parameters
    ----------
    pairs
        Of both labels.
    count
        Number of sequences.
    """

    def __init__(self, pairs: Pairs, count: int) -> None:
        rows1, rows2 = (rows[pairs.labels > 0] for rows in (pairs.rows1, pairs.rows2))
        owners = np.concatenate([rows1, rows2])
        order = np.argsort(owners, kind="stable")
        self._partners = np.concatenate([rows2, rows1])[order]
        self._starts = np.searchsorted(owners[order], np.arange(count + 1))

    def alike(self, rows: NDArray[np.int64], candidates: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell what is no negative of a pair: its own sequences, and what is related to one of them.

        Parameters
        ----------
        rows : np.ndarray, shape=(2, n)
            The sequences of the pairs.
        candidates : np.ndarray, shape=(m,)
            Sequences.

        Returns
        -------
        np.ndarray, shape=(n, m)
        """
        kinds, inverse = np.unique(candidates, return_inverse=True)
        found: NDArray[np.bool_] = (kinds == rows[0][:, None]) | (kinds == rows[1][:, None])
        for side in rows:
            first = self._starts[side]
            counts = self._starts[side + 1] - first
            owners = np.repeat(np.arange(side.size), counts)
            places = np.arange(owners.size) + np.repeat(first - np.cumsum(counts) + counts, counts)
            partners = self._partners[places]
            at = np.searchsorted(kinds, partners).clip(max=kinds.size - 1)
            known = kinds[at] == partners
            found[owners[known], at[known]] = True
        return np.take(found, inverse, axis=1)


class Contrast(nn.Module):
    """The term; its buffers are the pools as they were embedded when the epoch began.

    Parameters
    ----------
    settings
        How much it counts, and against what.
    lesson
        The pairs; train alone has a part.
    dimensions
        Length of an embedding.
    seed
        Of the draw of the pools.
    """

    log_scale: torch.Tensor

    def __init__(self, settings: ContrastSettings, lesson: Lesson, dimensions: int, seed: int) -> None:
        super().__init__()
        self.weight = settings.weight
        self._hard = settings.hard
        self._seed = seed
        self._relations = Relations(lesson.train, len(lesson.tokens))
        # what stands second may be a negative for what stands first, and the other way round
        self._sides = [np.unique(rows) for rows in (lesson.train.rows2, lesson.train.rows1)]
        self.register_buffer("log_scale", torch.tensor(-math.log(settings.temperature)), persistent=False)
        if self._hard:
            for side, rows in enumerate(self._sides):
                self.register_buffer(f"pool{side}", torch.zeros(min(_POOL, rows.size), dimensions))

    def refresh(self, epoch: int, embed: Callable[[NDArray[np.int64]], torch.Tensor]) -> None:
        """Embed the pools of an epoch."""
        for side in range(2 if self._hard else 0):
            self.get_buffer(f"pool{side}").copy_(embed(self._pool(epoch, side)))

    @torch.no_grad()
    def find_hard(self, epoch: int, related: Related) -> list[NDArray[np.int64]]:
        """Return the hard negatives of the first sequences, and those of the second ones, each once."""
        found = []
        for side in range(2 if self._hard else 0):
            rows = self._pool(epoch, side)
            pool = functional.normalize(self.get_buffer(f"pool{side}"), dim=1)
            cosines = functional.normalize(related.values[side], dim=1) @ pool.T
            alike = torch.from_numpy(self._relations.alike(related.rows, rows)).to(cosines.device)
            best = cosines.masked_fill_(alike, -math.inf).topk(min(self._hard, rows.size))
            found.append(rows[np.unique(best.indices[best.values.isfinite()].cpu().numpy())])
        return found or [np.empty(0, np.int64)] * 2

    def forward(
        self, related: Related, hard: list[NDArray[np.int64]], hard_values: list[torch.Tensor]
    ) -> torch.Tensor:
        """Return the mean InfoNCE of both ways, in nats.

        Parameters
        ----------
        related
            The related pairs of a batch.
        hard, hard_values
            As :meth:`find_hard` gives them, and what they embed to.
        """
        ways = []
        for side, anchors in enumerate(related.values):
            partners = related.values[1 - side]
            rows = np.concatenate([related.rows[1 - side], hard[side]])
            alike = self._relations.alike(related.rows, rows)
            # but the partner itself
            np.fill_diagonal(alike, val=False)
            candidates = torch.cat([partners, hard_values[side]])
            ways.append(ask(anchors, candidates, self.log_scale, torch.from_numpy(alike).to(anchors.device)))
        return (ways[0] + ways[1]) / 2

    def _pool(self, epoch: int, side: int) -> NDArray[np.int64]:
        rows = self._sides[side]
        drawn = np.random.default_rng([self._seed, epoch, side]).permutation(rows.size)[:_POOL]
        chosen: NDArray[np.int64] = rows[np.sort(drawn)]
        return chosen
