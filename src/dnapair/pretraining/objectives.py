"""What pretraining minimises, and the sign that it collapsed."""

import math

import torch
from torch.nn import functional

MAX_SCALE = 100.0
"""The greatest inverse temperature, as in Radford et al. 2021, "CLIP"."""


def contrastive_loss(embeddings: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """Ask each fragment for its partner among the batch, in both directions.

    The loss is InfoNCE on cosines with a learnt temperature, as in Radford et al. 2021 ("CLIP"), on two
    fragments of one genome, as in Zhou et al. 2024 ("DNABERT-S").

    Parameters
    ----------
    embeddings : torch.Tensor, shape=(2 * n, d)
        Row ``i`` and row ``n + i`` are of one genome, each ``i`` of another.
    log_scale : torch.Tensor, shape=()
        Logarithm of the inverse temperature.

    Returns
    -------
    torch.Tensor, shape=()
        In nats; ``log(n)`` for embeddings that tell nothing.
    """
    first, second = embeddings.chunk(2)
    return (ask(first, second, log_scale) + ask(second, first, log_scale)) / 2


def ask(
    anchors: torch.Tensor,
    candidates: torch.Tensor,
    log_scale: torch.Tensor,
    left_out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Ask each anchor for its partner, the candidate of its own number.

    Parameters
    ----------
    anchors : torch.Tensor, shape=(n, d)
        Embeddings.
    candidates : torch.Tensor, shape=(m, d)
        Embeddings of the partners, and after these of what else there is to choose from.
    log_scale : torch.Tensor, shape=()
        As for :func:`contrastive_loss`.
    left_out : torch.Tensor, shape=(n, m), or None
        True for a candidate that an anchor is not asked about.

    Returns
    -------
    torch.Tensor, shape=()
        The mean over the anchors, in nats.
    """
    cosines = functional.normalize(anchors, dim=1) @ functional.normalize(candidates, dim=1).T
    logits = cosines * log_scale.exp().clamp(max=MAX_SCALE)
    if left_out is not None:
        logits = logits.masked_fill(left_out, -math.inf)
    return functional.cross_entropy(logits, torch.arange(len(anchors), device=anchors.device))


def likeness(embeddings: torch.Tensor) -> float:
    """Return the mean cosine of fragments of different genomes; near 1 all embeddings are alike.

    Parameters
    ----------
    embeddings : torch.Tensor, shape=(2 * n, d)
        As for :func:`contrastive_loss`; at least two pairs.
    """
    with torch.no_grad():
        first, second = functional.normalize(embeddings, dim=1).chunk(2)
        cosines = first @ second.T
        return float((cosines.sum() - cosines.trace()) / (len(first) * (len(first) - 1)))
