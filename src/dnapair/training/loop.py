"""The training loop, one for both frameworks."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from tqdm import tqdm

from dnapair.errors import DnapairError
from dnapair.machine.ahead import map_ahead
from dnapair.networks.weights import Weights
from dnapair.storage.matrix import Matrix
from dnapair.storage.numeric_columns import read_numbers
from dnapair.training.learner import Inputs, Learner
from dnapair.training.ranking import average_precision

PREDICTION_BATCH = 4096
"""Pairs scored at a time."""
BLOCK_BATCHES = 16
"""Batches given to a learner at a time."""
COLLAPSE_RANGE = 1e-6
"""A network whose validation logits all lie this close tells nothing apart."""


class Pairs(NamedTuple):
    """The pairs of one split.

    Attributes
    ----------
    rows1, rows2 : np.ndarray, shape=(n,)
        Rows of the two sequences in the matrix of embeddings, int64.
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated, float32.
    rows : np.ndarray, shape=(n,), or None
        Rows of the pairs themselves in the matrix of interactions, int64; None where none are needed.
    """

    rows1: np.ndarray
    rows2: np.ndarray
    labels: np.ndarray
    rows: np.ndarray | None = None

    def take(self, chosen: slice | np.ndarray) -> "Pairs":
        """Return some of the pairs: a slice of them, or those of the numbers in an array of any shape."""
        rows = None if self.rows is None else self.rows[chosen]
        return Pairs(self.rows1[chosen], self.rows2[chosen], self.labels[chosen], rows)

    def join(self, others: "Pairs") -> "Pairs":
        """Return these and others behind them."""
        rows = None if self.rows is None or others.rows is None else np.concatenate([self.rows, others.rows])
        rows1, rows2, labels = (np.concatenate(both) for both in zip(self[:3], others[:3], strict=True))
        return Pairs(rows1, rows2, labels, rows)


class Matrices(NamedTuple):
    """What a network's inputs are read from; None for what it does not take.

    Attributes
    ----------
    embeddings : array or MatrixFile, shape=(sequences, d), or None
        A row for each sequence, scaled, of any float type.
    interactions : array or MatrixFile, shape=(pairs, w), or None
        A row for each pair, scaled, of any float type.
    """

    embeddings: Matrix | None
    interactions: Matrix | None = None

    def read(self, pairs: Pairs) -> Inputs:
        """Read the inputs of pairs, and nothing else.

        Parameters
        ----------
        pairs
            Columns of any shape.

        Returns
        -------
        tuple of np.ndarray, each of shape=(*shape of the columns, width)
            ``(e1, e2)``, ``(e1, e2, x)`` or ``(x,)``, float32.

        Raises
        ------
        ValueError
            If there are interactions, but the pairs' rows are not known.
        """
        read = []
        if self.embeddings is not None:
            read += [(self.embeddings, pairs.rows1), (self.embeddings, pairs.rows2)]
        if self.interactions is not None:
            if pairs.rows is None:
                raise ValueError("the pairs' rows in the matrix of interactions are not known")
            read.append((self.interactions, pairs.rows))
        return tuple(matrix[rows].astype(np.float32, copy=False) for matrix, rows in read)


class LoopSettings(NamedTuple):
    """How long and by which schedule a learner is trained.

    Attributes
    ----------
    epochs
        At most; at least 1.
    batch_size
        Pairs in a step, at least 2.
    plateau_patience, plateau_factor
        After so many epochs without a better validation PR-AUC the learning rate is cut by the factor.
    stop_patience
        After so many epochs without a better one, training stops.
    seed
        Of the order of the pairs.
    """

    epochs: int
    batch_size: int
    plateau_patience: int
    plateau_factor: float
    stop_patience: int
    seed: int

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "LoopSettings":
        """Take them from what holds others too, such as the section ``train`` of params.yaml."""
        return cls(**{name: fields[name] for name in cls._fields})


class Epoch(NamedTuple):
    """What became of one epoch.

    Attributes
    ----------
    epoch
        Its number, from 1.
    train_loss
        Mean weighted cross-entropy of the train pairs while the weights changed, dropout on.
    val_loss
        Cross-entropy (nats) of all validation pairs after the epoch, unweighted, of the logits on the
        data's own class ratio.
    val_pr_auc
        Average precision on the validation pairs.
    learning_rate
        Used in this epoch.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_pr_auc: float
    learning_rate: float


class FitResult(NamedTuple):
    """A trained network.

    Attributes
    ----------
    history
        Every epoch in order.
    best
        The epoch whose weights were kept: the one with the greatest validation PR-AUC, the first of
        equals; or the last epoch, where that was asked for.
    weights
        Of that epoch, on the data's own class ratio.
    val_logits : np.ndarray, shape=(n,)
        What these weights give the validation pairs, float32.
    """

    history: list[Epoch]
    best: Epoch
    weights: Weights
    val_logits: np.ndarray

    @property
    def collapsed(self) -> bool:
        """True where all validation pairs got the same score."""
        return bool(np.ptp(self.val_logits) <= COLLAPSE_RANGE)


def read_pairs(path: Path) -> Pairs:
    """Read one split of artifacts/normalized: a Parquet file with row, seq1, seq2 and label."""
    rows, rows1, rows2, labels = read_numbers(path, ["row", "seq1", "seq2", "label"])
    return Pairs(rows1, rows2, labels.astype(np.float32), rows)


def positive_weight(setting: Literal["balanced"] | float, labels: np.ndarray) -> float:
    """Resolve ``train.positive_weight``.

    Parameters
    ----------
    setting
        A weight, or ``balanced`` for as many negatives as there are to a positive.
    labels : np.ndarray, shape=(n,)
        Of the train pairs.

    Returns
    -------
    float
        The weight of a positive pair in the loss.

    Raises
    ------
    DnapairError
        If the labels do not hold both classes.
    """
    _check_labels(labels, "train")
    positives = float(np.count_nonzero(labels))
    return (labels.size - positives) / positives if setting == "balanced" else setting


def fit(
    learner: Learner,
    matrices: Matrices,
    train: Pairs,
    val: Pairs,
    settings: LoopSettings,
    on_epoch: Callable[[Epoch], None] | None = None,
    description: str | None = None,
    keep: Literal["best", "last"] = "best",
    negatives: Pairs | None = None,
) -> FitResult:
    """Train until the validation PR-AUC stops growing, and keep the best epoch's weights.

    In the end the head's bias is lowered by log(positive_weight), and raised by the logarithm of how many
    times as many unrelated pairs an epoch has as train, so that the probabilities are those of the
    data's own class ratio. Source: Elkan 2001, "The foundations of cost-sensitive learning".

    Parameters
    ----------
    learner
        Holds the result's weights afterwards.
    matrices
        What the learner's network takes: only the rows of the next batches are read, while the learner is at
        work on the last ones.
    train, val
        Pairs of rows.
    settings
        Schedule.
    on_epoch
        Called after every epoch.
    description
        What to call the progress bar over the epochs; None for no bar.
    keep
        ``last``: keep the last epoch's weights, whatever validation said of them.
    negatives
        Unrelated pairs that the data do not hold: each epoch learns from half of them besides, drawn anew.

    Returns
    -------
    FitResult
        The weights that were kept and the history.

    Raises
    ------
    DnapairError
        If a split does not hold both labels, or the loss is no finite number.
    """
    _check_labels(train.labels, "train")
    _check_labels(val.labels, "validation")
    drawn = 0 if negatives is None else negatives.labels.size // 2
    times_more = 1 + drawn / np.count_nonzero(train.labels == 0)
    shift = np.float32(math.log(learner.settings.positive_weight / times_more))
    schedule = _Schedule(learner.settings.learning_rate, settings)
    rng = np.random.default_rng(settings.seed)
    history: list[Epoch] = []
    weights, val_logits = learner.get_weights(), np.empty(0, np.float32)
    hidden = True if description is None else None
    bar: tqdm[NoReturn] = tqdm(
        total=settings.epochs, desc=description, unit="epoch", dynamic_ncols=True, disable=hidden
    )
    with bar:
        for number in range(1, settings.epochs + 1):
            lesson = train
            if negatives is not None and drawn:
                lesson = train.join(negatives.take(rng.permutation(negatives.labels.size)[:drawn]))
            train_loss = _train_epoch(learner, matrices, lesson, settings.batch_size, rng)
            logits = predict(learner, matrices, val) - shift
            if not (math.isfinite(train_loss) and np.isfinite(logits).all()):
                raise DnapairError(
                    f"Training diverged in epoch {number}: the loss is no finite number any more. Lower "
                    f"train.learning_rate ({learner.settings.learning_rate:g} was used) or, where the tuner "
                    "chose it, tune.space.learning_rate.high."
                )
            pr_auc = average_precision(val.labels, logits)
            val_loss = cross_entropy(logits, val.labels)
            history.append(Epoch(number, train_loss, val_loss, pr_auc, schedule.learning_rate))
            if schedule.observe(pr_auc) or keep == "last":
                weights, val_logits = learner.get_weights(), logits
            if on_epoch is not None:
                on_epoch(history[-1])
            bar.set_postfix(loss=f"{train_loss:.4f}", val_pr_auc=f"{pr_auc:.4f}", refresh=False)
            bar.update()
            if schedule.exhausted:
                break
            learner.set_learning_rate(schedule.learning_rate)
    weights["head.bias"] = weights["head.bias"] - shift
    learner.set_weights(weights)
    kept = history[-1] if keep == "last" else max(history, key=lambda epoch: epoch.val_pr_auc)
    return FitResult(history, kept, weights, val_logits)


def predict(learner: Learner, matrices: Matrices, pairs: Pairs, batch: int = PREDICTION_BATCH) -> np.ndarray:
    """Score pairs in batches.

    Parameters
    ----------
    learner
        The network.
    matrices
        What it takes.
    pairs
        Their labels are not looked at.
    batch
        Pairs scored at a time.

    Returns
    -------
    np.ndarray, shape=(n,)
        float32 logits.
    """
    logits = np.empty(pairs.labels.size, np.float32)
    for start in range(0, logits.size, batch):
        chosen = slice(start, start + batch)
        logits[chosen] = learner.predict(matrices.read(pairs.take(chosen)))
    return logits


def _train_epoch(
    learner: Learner, matrices: Matrices, train: Pairs, batch_size: int, rng: np.random.Generator
) -> float:
    def read(chosen: np.ndarray) -> tuple[Inputs, np.ndarray]:
        pairs = train.take(chosen)
        return matrices.read(pairs), pairs.labels

    total = 0.0
    for inputs, labels in map_ahead(read, _blocks(rng.permutation(train.labels.size), batch_size)):
        losses = learner.train_batches(inputs, labels)
        if not np.isfinite(losses).all():
            return math.nan
        total += float(losses.sum(dtype=np.float64)) * labels.shape[1]
    return total / train.labels.size


def _blocks(order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Cut an order into blocks of shape=(batches, batch_size); the last one holds the last batch alone."""
    # the last batch takes a single pair left over, which batch normalisation could not bear
    last = (order.size - 2) // batch_size * batch_size
    whole = order[:last].reshape(-1, batch_size)
    for start in range(0, len(whole), BLOCK_BATCHES):
        yield whole[start : start + BLOCK_BATCHES]
    yield order[np.newaxis, last:]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean log loss in nats of logits, shape=(n,), for labels 0 or 1, shape=(n,)."""
    exact = logits.astype(np.float64)
    return float(np.mean(np.logaddexp(0, exact) - labels * exact))


def _check_labels(labels: np.ndarray, split: str) -> None:
    positives = int(np.count_nonzero(labels))
    if positives in (0, labels.size):
        raise DnapairError(
            f"The {split} split holds {positives} related and {labels.size - positives} unrelated pairs; "
            "both are needed. Change the section split of params.yaml, or the data."
        )


class _Schedule:
    """Cuts the learning rate on a plateau of the score, and says when to stop."""

    def __init__(self, learning_rate: float, settings: LoopSettings) -> None:
        self.learning_rate = learning_rate
        self._settings = settings
        self._best = -math.inf
        self._waited = 0

    def observe(self, score: float) -> bool:
        """Take the score of an epoch; return whether it is the best so far."""
        if score > self._best:
            self._best = score
            self._waited = 0
            return True
        self._waited += 1
        if self._waited % self._settings.plateau_patience == 0:
            self.learning_rate *= self._settings.plateau_factor
        return False

    @property
    def exhausted(self) -> bool:
        return self._waited >= self._settings.stop_patience
