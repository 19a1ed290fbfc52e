"""What pretraining minimises, and the sign that it collapsed."""

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
    first, second = functional.normalize(embeddings, dim=1).chunk(2)
    logits = first @ second.T * log_scale.exp().clamp(max=MAX_SCALE)
    partners = torch.arange(len(first), device=embeddings.device)
    forward = functional.cross_entropy(logits, partners)
    backward = functional.cross_entropy(logits.T, partners)
    return (forward + backward) / 2


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
