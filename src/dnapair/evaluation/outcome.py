"""All that is measured on the test pairs: networks, what they are compared with, and their slices."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from dnapair.evaluation import metrics
from dnapair.evaluation.metrics import WeightedMetrics, WeightedRanks
from dnapair.evaluation.resampling import Difference, Measure, Units, difference, interval, resample
from dnapair.evaluation.slices import Slice, SliceMetrics

MAIN = "pr_auc"
"""The metric by which the best baseline is the best."""
COMPARED = (*metrics.RANKING, "accuracy", "f1")
"""Metrics whose differences are given."""
Intervals = dict[str, tuple[float, float]]


class Prediction(NamedTuple):
    """What something says of the test pairs.

    Attributes
    ----------
    scores : np.ndarray, shape=(n,)
        Greater means more likely related; for a network the probability.
    threshold
        The score from which a pair is called related, chosen on validation.
    about
        What it is, in a sentence.
    """

    scores: np.ndarray
    threshold: float
    about: str


class Network(NamedTuple):
    """A network on the test pairs.

    Attributes
    ----------
    prediction
        What it says.
    temperature
        What its logits were divided by.
    members : list of np.ndarray, each of shape=(n,)
        Probabilities by each network that it is the mean of; none where it is one alone.
    """

    prediction: Prediction
    temperature: float
    members: Sequence[np.ndarray]


class Rival(NamedTuple):
    """Something that the network is compared with on the same test pairs.

    Attributes
    ----------
    about
        What it is, in a sentence.
    metrics, intervals
        Its own. A baseline has no ``log_loss``, ``brier`` and ``ece``: its scores are no probabilities.
    gains
        By how much the network's metric is greater.
    """

    about: str
    metrics: dict[str, float]
    intervals: Intervals
    gains: dict[str, Difference]


class SliceOutcome(NamedTuple):
    """A slice of the test pairs, measured.

    Attributes
    ----------
    by, value
        As in :class:`~dnapair.evaluation.slices.Slice`.
    pairs, related
        How many it holds.
    mixed
        False where it holds one class alone: its ROC-AUC is against all test pairs of the other class.
    metrics, intervals
        ``roc_auc`` and ``accuracy``.
    """

    by: str
    value: str
    pairs: int
    related: int
    mixed: bool
    metrics: dict[str, float]
    intervals: Intervals


class Outcome(NamedTuple):
    """What an evaluation found.

    Attributes
    ----------
    metrics, intervals
        Of the network: every metric of :data:`~dnapair.evaluation.metrics.METRICS`.
    uncalibrated
        Its ``log_loss``, ``brier`` and ``ece`` without the temperature.
    baselines
        By name.
    other
        The network of the other framework.
    seeds
        Metrics of each of its members alone; none where it has one.
    slices
        In the order given.
    """

    metrics: dict[str, float]
    intervals: Intervals
    uncalibrated: dict[str, float]
    baselines: dict[str, Rival]
    other: Rival
    seeds: list[dict[str, float]]
    slices: list[SliceOutcome]

    @property
    def best_baseline(self) -> str:
        """The name of the baseline with the greatest :data:`MAIN`."""
        return max(self.baselines, key=lambda name: self.baselines[name].metrics[MAIN])


def measure(
    labels: np.ndarray,
    networks: Mapping[str, Network],
    baselines: Mapping[str, Prediction],
    slices: Sequence[Slice],
    units: Units,
    draws: int,
    seed: int,
) -> dict[str, Outcome]:
    """Measure everything on all test pairs, and on the same bootstrap samples of them.

    Parameters
    ----------
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated.
    networks
        Those of the two frameworks, by name.
    baselines
        By name.
    slices
        None of them empty.
    units, draws, seed
        As for :func:`~dnapair.evaluation.resampling.resample`.

    Returns
    -------
    dict
        For each network every metric, interval and difference.

    Raises
    ------
    DnapairError
        If the labels hold one class alone, or a network's probability is no number in [0, 1].
    """
    for network in networks.values():
        for scores in (network.prediction.scores, *network.members):
            metrics.check(labels, scores)
    parts = {
        name: [SliceMetrics(labels, scores, threshold, part.inside) for part in slices]
        for name, ((scores, threshold, _), _, _) in networks.items()
    }
    measures: dict[str, Measure] = {
        **{
            f"network {name}": WeightedMetrics(labels, scores, threshold)
            for name, ((scores, threshold, _), _, _) in networks.items()
        },
        **{
            f"baseline {name}": WeightedRanks(labels, scores, threshold)
            for name, (scores, threshold, _) in baselines.items()
        },
        **{f"slice {place} of {name}": part for name in parts for place, part in enumerate(parts[name])},
    }
    drawn = resample(labels, units, measures, draws, seed)
    whole = {name: _first(one.measure(np.ones((labels.size, 1)))) for name, one in measures.items()}

    def compare(own: str, rival: str, about: str, known: Sequence[str]) -> Rival:
        return Rival(
            about,
            {metric: whole[rival][metric] for metric in known},
            {metric: interval(drawn[rival][metric]) for metric in known},
            {
                metric: difference(
                    whole[own][metric] - whole[rival][metric], drawn[own][metric], drawn[rival][metric]
                )
                for metric in COMPARED
            },
        )

    def gather(name: str) -> Outcome:
        own = f"network {name}"
        (scores, threshold, _), temperature, members = networks[name]
        before = metrics.evaluate(labels, expit(logit(scores) * temperature), threshold)
        (other,) = (rival for rival in networks if rival != name)
        return Outcome(
            metrics=whole[own],
            intervals={metric: interval(drawn[own][metric]) for metric in metrics.METRICS},
            uncalibrated={metric: before[metric] for metric in metrics.PROBABILITIES},
            baselines={
                rival: compare(
                    own, f"baseline {rival}", prediction.about, (*metrics.RANKING, *metrics.DECISIONS)
                )
                for rival, prediction in baselines.items()
            },
            other=compare(own, f"network {other}", networks[other].prediction.about, metrics.METRICS),
            seeds=[metrics.evaluate(labels, alone, threshold) for alone in members],
            slices=[
                SliceOutcome(
                    part.by,
                    part.value,
                    int(part.inside.sum()),
                    int(labels[part.inside].sum()),
                    measured.mixed,
                    whole[f"slice {place} of {name}"],
                    {
                        metric: interval(values)
                        for metric, values in drawn[f"slice {place} of {name}"].items()
                    },
                )
                for place, (part, measured) in enumerate(zip(slices, parts[name], strict=True))
            ],
        )

    return {name: gather(name) for name in networks}


def compare_scores(
    labels: np.ndarray, scores: np.ndarray, other: np.ndarray, units: Units, draws: int, seed: int
) -> Difference:
    """Say by how much the :data:`MAIN` of some scores is greater than that of others.

    Parameters
    ----------
    labels, scores, other : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated; and probabilities of the same pairs.
    units, draws, seed
        As for :func:`~dnapair.evaluation.resampling.resample`.
    """
    # the threshold decides nothing that is compared here
    both = {name: WeightedRanks(labels, one, 0.5) for name, one in (("own", scores), ("other", other))}
    drawn = resample(labels, units, both, draws, seed)
    own, others = (float(one.measure(np.ones((labels.size, 1)))[MAIN][0]) for one in both.values())
    return difference(own - others, drawn["own"][MAIN], drawn["other"][MAIN])


def _first(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {name: float(column[0]) for name, column in values.items()}
