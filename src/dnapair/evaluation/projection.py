"""Pairs on a plane, by the features that the network sees: principal components, then t-SNE."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from dnapair.networks.features import combine
from dnapair.storage.matrix import Matrix

COMPONENTS = 50
PERPLEXITY = 30.0


def map_pairs(
    matrix: Matrix, rows: np.ndarray, symmetric: bool, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pairs, and place them by the features of their embeddings.

    Parameters
    ----------
    matrix : array or MatrixFile, shape=(sequences, d)
        Scaled embeddings.
    rows : np.ndarray, shape=(2, pairs)
        The two sequences of each pair.
    symmetric
        As in :func:`dnapair.networks.features.combine`.
    most
        Pairs that are drawn where there are more.
    seed
        Same seed, same map.

    Returns
    -------
    chosen : np.ndarray, shape=(n,)
        The pairs that were drawn, in order.
    places : np.ndarray, shape=(n, 2)
        From :func:`project`.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(rows.shape[1])[:most])
    first, second = (matrix[side[chosen]].astype(np.float32) for side in rows)
    seen = combine(first, second, symmetric)
    return chosen, project(np.concatenate(seen, axis=1), seed)


def project(features: np.ndarray, seed: int) -> np.ndarray:
    """Place pairs so that those with similar features are neighbours.

    Source: van der Maaten & Hinton 2008, "Visualizing data using t-SNE".

    Parameters
    ----------
    features : np.ndarray, shape=(n, f)
        Of at least 4 pairs.
    seed
        Same seed, same map.

    Returns
    -------
    np.ndarray, shape=(n, 2)
        Distances far apart mean nothing, neighbourhoods do.
    """
    n = len(features)
    perplexity = min(PERPLEXITY, (n - 1) / 3)
    # on so few points threads wait for each other longer than they work
    with threadpool_limits(1):
        reduced = PCA(min(COMPONENTS, *features.shape), random_state=seed).fit_transform(features)
        tsne = TSNE(perplexity=perplexity, max_iter=500, random_state=seed)
        places: np.ndarray = tsne.fit_transform(reduced)
    return places
