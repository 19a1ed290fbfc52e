"""What an encoder is worth: the residual network on its embeddings, trained on train, measured on validation.

The encoder has seen the train pairs' labels, so its train embeddings look better than others will. This
measure does what the later stages do, and so is fooled where they would be.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from dnapair.embedding.scaling import fit as fit_scaler
from dnapair.embedding.scaling import write_scaled
from dnapair.evaluation.metrics import WeightedRanks, evaluate
from dnapair.evaluation.outcome import compare_scores
from dnapair.evaluation.resampling import Difference, Units, find_units, interval, resample
from dnapair.finetuning.pairs import Lesson
from dnapair.storage.matrix import MatrixFile, write_header
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import LoopSettings, Matrices, fit, positive_weight

_BLOCK = 4096
_EPOCHS, _BATCH, _RATE, _DECAY = 12, 256, 0.001, 0.01
_SEEDS = 2
_DRAWS = 1000


class Worth(NamedTuple):
    """What validation says of an encoder.

    Attributes
    ----------
    scores : np.ndarray, shape=(n,)
        Probabilities of the validation pairs, the mean of two trainings.
    pr_auc, roc_auc : float
        Of these.
    chance : bool
        Whether the 95 % interval of the ROC-AUC reaches down to 0.5.
    """

    scores: NDArray[np.float64]
    pr_auc: float
    roc_auc: float
    chance: bool


def measure(
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
    sequences: Callable[[NDArray[np.int64]], list[str]],
    lesson: Lesson,
    scratch: Path,
) -> Worth:
    """Embed the sequences of a lesson, train on its train pairs, and score its validation pairs.

    Parameters
    ----------
    embed
        Gives the embeddings of sequences.
    sequences
        Gives sequences by their numbers in the lesson's tokens.
    lesson
        The pairs.
    scratch
        A folder for the embeddings while it lasts.
    """
    count = len(lesson.tokens)
    training = np.zeros(count, bool)
    training[lesson.train.rows1] = training[lesson.train.rows2] = True
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        raw, scaled = scratch / "raw.npy", scratch / "scaled.npy"
        with raw.open("wb") as file:
            for start in range(0, count, _BLOCK):
                values = embed(sequences(np.arange(start, min(start + _BLOCK, count)))).astype(np.float16)
                if not start:
                    write_header(file, (count, values.shape[1]), np.float16)
                file.write(values.tobytes())
        matrix = MatrixFile(raw)

        def shards() -> Iterable[tuple[int, NDArray[np.float32]]]:
            for start in range(0, count, _BLOCK):
                yield start, matrix[start : start + _BLOCK].astype(np.float32)

        fitted = fit_scaler(shards, matrix.shape[1], training, "dimension")
        write_scaled(fitted, shards, training, scaled)
        scores = _scores(lesson, Matrices(MatrixFile(scaled), lesson.interactions), matrix.shape[1])
    finally:
        shutil.rmtree(scratch)
    labels = lesson.val.labels.astype(np.int8)
    drawn = resample(labels, _units(lesson), {"own": WeightedRanks(labels, scores, 0.5)}, _DRAWS, 1)
    low, _ = interval(drawn["own"]["roc_auc"])
    measured = evaluate(labels, scores, 0.5)
    return Worth(scores, measured["pr_auc"], measured["roc_auc"], not low > 0.5)


def compare(lesson: Lesson, worth: Worth, other: Worth, seed: int) -> Difference:
    """Say by how much an encoder's PR-AUC is greater than another's, on the same validation pairs."""
    labels = lesson.val.labels.astype(np.int8)
    return compare_scores(labels, worth.scores, other.scores, _units(lesson), _DRAWS, seed)


def _units(lesson: Lesson) -> Units:
    return find_units(np.stack([lesson.val.rows1, lesson.val.rows2], axis=1))


def _scores(lesson: Lesson, matrices: Matrices, dimensions: int) -> NDArray[np.float64]:
    weight = positive_weight("balanced", lesson.train.labels)
    found = []
    for seed in range(1, _SEEDS + 1):
        settings = LearnerSettings(_RATE, _DECAY, 1.0, weight, seed)
        learner = make_learner("torch", lesson.head(dimensions), settings)
        loop = LoopSettings(_EPOCHS, _BATCH, 2, 0.5, 4, seed)
        found.append(expit(fit(learner, matrices, lesson.train, lesson.val, loop).val_logits.astype(float)))
    scores: NDArray[np.float64] = np.mean(found, axis=0)
    return scores
