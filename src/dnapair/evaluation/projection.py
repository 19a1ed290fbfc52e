"""Pairs on a plane: principal components, then t-SNE."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

COMPONENTS = 50
PERPLEXITY = 30.0


def project(features: np.ndarray, seed: int) -> np.ndarray:
    """Place pairs so that those with similar features are neighbours.

    Source: van der Maaten & Hinton 2008, "Visualizing data using t-SNE".

    Parameters
    ----------
    features : np.ndarray, shape=(n, f)
        Interaction features of at least 4 pairs.
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
