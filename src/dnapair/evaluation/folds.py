"""Cross-validation over groups: no group and no sequence of a fold's test pairs is trained on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from dnapair.data.grouped_splits import assign, group_counts
from dnapair.embedding import scaling
from dnapair.errors import DnapairError
from dnapair.evaluation.baselines import cosines
from dnapair.evaluation.metrics import best_threshold, evaluate
from dnapair.machine.forks import side_by_side
from dnapair.networks.spec import NetworkSpec
from dnapair.storage.matrix import MatrixFile
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import Epoch, FitResult, LoopSettings, Matrices, Pairs, predict
from dnapair.training.members import average, fit_members
from dnapair.training.torch_learner import TorchLearner

VALIDATION = 0.1
"""Share of the groups outside a fold that validate its training."""
COSINE = "embedding cosine"
COSINE_METRICS = ("accuracy", "f1", "roc_auc", "pr_auc")


class Fold(NamedTuple):
    """Numbers of the pairs of each split, in order; each of shape=(pairs,), int64."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


class Measured(NamedTuple):
    """What a fold's network, and the embeddings without one, are worth on its test pairs.

    Attributes
    ----------
    metrics : dict
        As :func:`dnapair.evaluation.metrics.evaluate` gives them.
    cosine : dict
        The metrics of :data:`COSINE_METRICS` of the cosine of the fold's scaled embeddings.
    threshold : float
        The network's, chosen on the fold's validation pairs.
    best_epoch : int
        Whose weights were used, of the first of its networks.
    """

    metrics: dict[str, float]
    cosine: dict[str, float]
    threshold: float
    best_epoch: int


def draw_folds(
    groups: NDArray[np.int64], labels: NDArray[np.int8], folds: int, seed: int
) -> NDArray[np.int64]:
    """Give each group to a fold, so that the folds' pairs and labels are as equal as the groups allow.

    Parameters
    ----------
    groups : np.ndarray, shape=(n, columns)
        Numbers of the groups of each pair, see :func:`dnapair.data.groups.read_groups`.
    labels : np.ndarray, shape=(n,)
        1 for related pairs, 0 for the others.
    folds
        How many, at least 2.
    seed
        Decides between groups of the same size.

    Returns
    -------
    np.ndarray, shape=(groups,)
        Numbers of the folds, from 0, by the numbers of the groups.
    """
    return assign(group_counts(groups, labels), [1 / folds] * folds, np.random.default_rng(seed))


def cut_fold(
    number: int,
    homes: NDArray[np.int64],
    groups: NDArray[np.int64],
    rows: NDArray[np.int64],
    labels: NDArray[np.int8],
    seed: int,
) -> Fold:
    """Cut the pairs into a fold's train, validation and test.

    Test has the pairs whose groups are all in the fold. A tenth of the groups outside it, drawn as the folds
    are, is for validation. Pairs that tie two of these three together, by groups or by a sequence, are left
    out; those of test, then those of validation, are kept where it is a sequence.

    Parameters
    ----------
    number
        The fold's, from 0.
    homes : np.ndarray, shape=(groups,)
        From :func:`draw_folds`.
    groups : np.ndarray, shape=(n, columns)
        Numbers of the groups of each pair.
    rows : np.ndarray, shape=(n, 2)
        The two sequences of each pair.
    labels : np.ndarray, shape=(n,)
        1 for related pairs, 0 for the others.
    seed
        Draws the groups of validation.

    Returns
    -------
    Fold
        Pairs of each split.

    Raises
    ------
    DnapairError
        If a split lacks a label.
    """
    everything = np.arange(len(groups))
    test, rest = _part(homes == number, everything, groups, rows)
    rng = np.random.default_rng([seed, number])
    held = np.zeros(len(homes), bool)
    if rest.size:
        counts = group_counts(groups[rest], labels[rest])
        held[: len(counts)] = assign(counts, [1 - VALIDATION, VALIDATION], rng) == 1
    val, train = _part(held, rest, groups, rows)
    fold = Fold(train, val, test)
    for name, pairs in zip(("train", "validation", "test"), fold, strict=True):
        related = int(labels[pairs].sum())
        if related in (0, pairs.size):
            raise DnapairError(
                f"Fold {number + 1} has {related} related and {pairs.size - related} unrelated {name} pairs "
                "whose groups are in no other part, and needs both. Name groups that fewer pairs tie "
                "together, or that are more (evaluate.groups), or change evaluate.folds; 0 is none."
            )
    return fold


def _part(
    chosen: NDArray[np.bool_],
    pairs: NDArray[np.int64],
    groups: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs with all groups among those chosen, and those that share nothing with these."""
    hits = chosen[groups[pairs]]
    inside = pairs[hits.all(axis=1)]
    outside = pairs[~hits.any(axis=1)]
    used = np.zeros(int(rows.max()) + 1, bool)
    used[rows[inside]] = True
    return inside, outside[~used[rows[outside]].any(axis=1)]


def measure_fold(
    shards: scaling.Shards,
    sequences: int,
    splits: Mapping[str, Pairs],
    spec: NetworkSpec,
    learner: LearnerSettings,
    loop: LoopSettings,
    mode: str,
    scratch: Path,
    members: int = 1,
    on_epoch: Callable[[Epoch], None] | None = None,
    description: str = "fold",
    interactions: tuple[scaling.Shards, int] | None = None,
    negatives: Pairs | None = None,
) -> Measured:
    """Scale, train with PyTorch and measure, with nothing of the test pairs in any step before the last.

    Parameters
    ----------
    shards
        The embeddings before scaling.
    sequences
        How many there are.
    splits
        Pairs of ``train``, ``val`` and ``test``.
    spec, learner, loop
        The network and its training.
    mode
        Of the :class:`~dnapair.embedding.scaling.Scaler`, which is fitted on the train pairs' sequences.
    scratch
        A folder for the scaled embeddings.
    members
        Networks whose mean is measured, of seeds from ``learner``'s and ``loop``'s on.
    on_epoch
        Called after every epoch of the first.
    description
        What to call the progress bar over the epochs.
    interactions
        Before scaling, a row for each pair of the data and each drawn one, and how many these are; for a
        network that takes them. Each number is scaled by its own range over the train pairs, whatever the
        mode: they are not of one unit.
    negatives
        Pairs that were drawn for training: those are used whose two sequences train pairs of the fold have.

    Returns
    -------
    Measured
        Metrics of the test pairs.

    Raises
    ------
    DnapairError
        As :func:`dnapair.training.members.fit_members` and :func:`dnapair.embedding.scaling.fit`.
    """
    training = np.zeros(sequences, bool)
    for used in splits["train"][:2]:
        training[used] = True
    matrix = _scale(shards, training, spec.dimensions, mode, scratch / "embeddings.npy")
    scaled = None
    if interactions is not None:
        rows, pairs = interactions
        fitted = np.zeros(pairs, bool)
        fitted[splits["train"].rows] = True
        scaled = _scale(rows, fitted, spec.interactions, "dimension", scratch / "interactions.npy")
    matrices = Matrices(matrix if spec.embeddings else None, scaled)
    val, test = splits["val"], splits["test"]
    if negatives is not None:
        negatives = negatives.take(np.flatnonzero(training[negatives.rows1] & training[negatives.rows2]))

    def tell(number: int, news: Epoch | FitResult) -> None:
        if on_epoch is not None and number == 0 and isinstance(news, Epoch):
            on_epoch(news)

    if side_by_side(members) > 1:
        # the next fold's forks would wait for ever for threads that this process began
        TorchLearner.use_threads(1)
    trained = fit_members(
        "torch", spec, learner, loop, matrices, splits["train"], val, members, tell, description, negatives
    )
    mean = average(spec, trained)
    threshold = best_threshold(val.labels, _probabilities(mean.val_logits))
    network = TorchLearner(mean.spec, learner)
    network.set_weights(mean.weights)
    logits = predict(network, matrices, test)
    metrics = evaluate(test.labels, _probabilities(logits), threshold)
    # from [-1, 1] to [0, 1], where rounding may lead out of it
    by_val, by_test = (np.clip((cosines(matrix, pairs) + 1) / 2, 0, 1) for pairs in (val, test))
    cosine = evaluate(test.labels, by_test, best_threshold(val.labels, by_val))
    best = trained[0].best.epoch
    return Measured(metrics, {name: cosine[name] for name in COSINE_METRICS}, threshold, best)


def _scale(
    shards: scaling.Shards, training: NDArray[np.bool_], width: int, mode: str, path: Path
) -> MatrixFile:
    fitted = scaling.fit(shards, width, training, mode)
    scaling.write_scaled(fitted, shards, training, path)
    return MatrixFile(path)


def _probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = expit(logits.astype(np.float64))
    return probabilities
