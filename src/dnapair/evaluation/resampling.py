"""How sure a metric is: a bootstrap over what pairs have in common, the same samples for all compared."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from dnapair.machine.processor import cores

CONFIDENCE = 0.95
BLOCK_VALUES = 2_000_000
"""Weights held at once while resampling: bounds the memory whatever the number of pairs."""
LARGEST_SET = 0.1
"""Share of the pairs that the largest set of connected pairs may hold for the sets to be drawn."""


class Measure(Protocol):
    """Something that depends on how much each pair counts."""

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Map weights, shape=(n, weightings), to values by name, each of shape=(weightings,)."""


class Units(NamedTuple):
    """What the bootstrap draws.

    Attributes
    ----------
    codes : np.ndarray, shape=(n, columns)
        The units of each pair, numbered from 0.
    total : int
        How many there are.
    connected : bool
        True where a unit is a set of pairs that share groups directly or through others, so that the sets
        share nothing; False where the groups themselves are drawn.
    """

    codes: np.ndarray
    total: int
    connected: bool


class Difference(NamedTuple):
    """How much greater a metric is than another, measured on the same pairs.

    Attributes
    ----------
    estimate
        On all pairs.
    low, high
        The 95 % interval.
    certainty
        Share of the draws in which it is above 0.
    """

    estimate: float
    low: float
    high: float
    certainty: float


def find_units(groups: np.ndarray) -> Units:
    """Choose what to draw for pairs that have groups in common.

    Parameters
    ----------
    groups : np.ndarray, shape=(n, columns)
        The groups of each pair, say the genomes of its two sequences, as integers from 0 on.

    Returns
    -------
    Units
        Sets of connected pairs where the largest has at most :data:`LARGEST_SET` of all; else the groups.
    """
    numbers, flat = np.unique(groups, return_inverse=True)
    codes = flat.reshape(groups.shape)
    first = np.repeat(codes[:, 0], groups.shape[1])
    edges = coo_array((np.ones(first.size, bool), (first, codes.ravel())), shape=(numbers.size, numbers.size))
    count, component = connected_components(edges, directed=False)
    sets = component[codes[:, :1]]
    if np.bincount(sets[:, 0]).max() <= LARGEST_SET * len(sets):
        return Units(sets, int(count), connected=True)
    return Units(codes, numbers.size, connected=False)


def describe_units(units: Units, columns: Sequence[str]) -> str:
    """Say in words what the bootstrap drew, where the groups are those of ``columns``."""
    names = " and ".join(columns)
    if units.connected:
        return f"{units.total:,} sets of pairs that share nothing ({names}) were drawn for one"
    return f"the {units.total:,} values of {names} were drawn for one, not the pairs"


def resample(
    labels: np.ndarray, units: Units, measures: Mapping[str, Measure], draws: int, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Measure all of ``measures`` on the same bootstrap samples.

    Units are drawn with replacement. A pair counts as often as its unit was drawn; a pair of two units, the
    product of both: Davezies, D'Haultfoeuille & Guyonvarch 2021, "Empirical process results for
    exchangeable arrays", which is cautious for pairs that share little.

    Parameters
    ----------
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated. A sample that holds one class alone is drawn again.
    units
        What is drawn.
    measures
        By name.
    draws
        Number of samples.
    seed
        Same seed, same samples.

    Returns
    -------
    dict
        For each measure its values by name, each of shape=(draws,).
    """
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in measures}
    with ThreadPoolExecutor(cores()) as pool:
        for weights in _samples(labels, units, draws, seed):
            measured = pool.map(lambda measure, own=weights: measure.measure(own), measures.values())
            for name, values in zip(measures, measured, strict=True):
                found[name].append(values)
    return {
        name: {value: np.concatenate([part[value] for part in parts]) for value in parts[0]}
        for name, parts in found.items()
    }


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % percentile interval of draws; NaN where no draw has a value.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return np.nan, np.nan
    low, high = np.percentile(known, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return float(low), float(high)


def difference(estimate: float, values: np.ndarray, other: np.ndarray) -> Difference:
    """Compare two metrics draw by draw.

    Parameters
    ----------
    estimate
        The difference on all pairs.
    values, other : np.ndarray, shape=(draws,)
        From one call of :func:`resample`; the difference is the first minus the second.
    """
    low, high = interval(values - other)
    return Difference(estimate, low, high, float(np.mean(values > other)))


def _samples(labels: np.ndarray, units: Units, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks of how often each pair counts, shape=(n, block), both classes in every column."""
    rng = np.random.default_rng(seed)
    codes = np.sort(units.codes, axis=1)
    # a unit that a pair has twice was drawn once for it
    repeated = np.diff(codes, axis=1, prepend=-1) == 0
    even = np.full(units.total, 1 / units.total)
    positive = labels.astype(np.float64)
    with tqdm(total=draws, desc="bootstrap", unit="draw", dynamic_ncols=True, disable=None) as bar:
        left = draws
        while left:
            block = min(left, max(1, BLOCK_VALUES // max(len(codes), units.total)))
            # a pair's weights side by side
            drawn = rng.multinomial(units.total, even, size=block).T.astype(np.float64, order="C")
            weights = drawn[codes[:, 0]]
            for column in range(1, codes.shape[1]):
                weights *= np.where(repeated[:, [column]], 1.0, drawn[codes[:, column]])
            related = positive @ weights
            weights = weights[:, (related > 0) & (related < weights.sum(axis=0))]
            left -= weights.shape[1]
            bar.update(weights.shape[1])
            yield weights
