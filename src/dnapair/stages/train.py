"""Stage `train`: the residual network in one framework, the mean of those of as many seeds as asked for."""

import csv
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from dnapair import tracking
from dnapair.evaluation import metrics
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import save_weights
from dnapair.params import Train, flatten, load_params
from dnapair.stages import paths
from dnapair.stages.inputs import identify_interactions, open_matrices, specify
from dnapair.storage.files import atomic_file, atomic_folder, read_json, write_json, write_sums
from dnapair.training.calibration import Calibrated, calibrate
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import (
    Epoch,
    FitResult,
    LoopSettings,
    Matrices,
    Pairs,
    cross_entropy,
    positive_weight,
    read_pairs,
)
from dnapair.training.members import Mean, average, fit_members

EXAMPLE_PAIRS = 4
VALIDATION_METRICS = ("pr_auc", "roc_auc", "f1", "accuracy")


def run(framework: str) -> None:
    """Train on artifacts/normalized with the best hyperparameters, and write artifacts/models/FRAMEWORK."""
    params = load_params()
    best = read_json(paths.BEST_HYPERPARAMETERS)
    settings = params.train.model_copy(update=best["train"])
    logged = flatten(settings, "train") | {f"network.{key}": value for key, value in best["network"].items()}
    with tracking.stage_run(f"train@{framework}", logged, paths.IDENTITIES) as run:
        paths.check(paths.NORMALIZED)
        dataset = read_json(paths.DATASET_REPORT)
        splits = {name: tracking.Split.of(name, dataset) for name in ("train", "val")}
        for split in splits.values():
            run.log_split(split)
        train, val = (read_pairs(paths.split_file(split)) for split in ("train", "val"))
        negatives = read_pairs(paths.NEGATIVES)
        spec = specify(best["network"])
        matrices = open_matrices(spec)
        weight = positive_weight(settings.positive_weight, train.labels)
        members = train_members(framework, spec, settings, weight, matrices, (train, val), negatives, run)
        model = average(spec, members)
        network = (
            calibrate(model.weights, model.val_logits, val.labels)
            if settings.calibration == "temperature"
            else Calibrated(1.0, model.weights, model.val_logits)
        )
        measured = measure(model, network, val.labels)
        report = {
            "framework": framework,
            "positive_weight": weight,
            "random_negatives": negatives.labels.size,
            "interactions": identify_interactions() if spec.interactions else None,
            **measured,
            "members": [
                {
                    "seed": settings.seed + number,
                    "best_epoch": member.best.epoch,
                    "epochs": len(member.history),
                    "val_pr_auc": member.best.val_pr_auc,
                }
                for number, member in enumerate(members)
            ],
        }
        first = members[0]
        with atomic_folder(paths.model_folder(framework)) as folder:
            save_weights(folder / "weights.safetensors", network.weights)
            write_json(folder / "network.json", model.spec.to_json())
            write_json(folder / "training.json", report)
            write_history(folder / "history.csv", first.history)
            write_sums(folder)
        run.log_params({"positive_weight": weight})
        run.log_metrics({"random_negatives": negatives.labels.size})
        run.log_metrics({"best_epoch": first.best.epoch} | final_metrics(measured))
        run.log_parent_metrics({f"{framework}/val_pr_auc": measured["val_pr_auc"]})
        scores = [member.best.val_pr_auc for member in members]
        run.describe(describe(measured["val_pr_auc"], members))
        if len(scores) > 1:
            mean, deviation = float(np.mean(scores)), float(np.std(scores, ddof=1))
            run.log_metrics({"val_pr_auc_mean": mean, "val_pr_auc_std": deviation})
        run.log_file(paths.model_folder(framework), "model_folder")
        example = matrices.read(val.take(slice(EXAMPLE_PAIRS)))
        # it brings MLflow
        from dnapair.tracking.native_models import save_network

        run.log_model(
            f"network-{framework}",
            lambda folder: save_network(framework, model.spec, network.weights, example, folder),
            splits["val"],
        )


def train_members(
    framework: str,
    spec: NetworkSpec,
    settings: Train,
    weight: float,
    matrices: Matrices,
    splits: tuple[Pairs, Pairs],
    negatives: Pairs,
    run: tracking.StageRun,
) -> list[FitResult]:
    """Train with every seed; the epochs of the first are the stage's run's, the others have runs below it."""
    runs, nested = {0: run}, dict[int, ExitStack]()

    def tell(number: int, news: Epoch | FitResult) -> None:
        if number not in runs:
            seed = {"train.seed": settings.seed + number}
            nested[number] = opened.enter_context(ExitStack())
            runs[number] = nested[number].enter_context(
                tracking.trial_run(run, run.run_id, number + 1, seed, f"{framework} repeat")
            )
        if isinstance(news, Epoch):
            log_epoch(runs[number], news)
        elif number in nested:
            runs[number].log_metrics({"best_epoch": news.best.epoch, "val_pr_auc": news.best.val_pr_auc})
            nested[number].close()

    fields = settings.model_dump() | {"positive_weight": weight}
    with ExitStack() as opened:
        return fit_members(
            framework,
            spec,
            LearnerSettings.of(fields),
            LoopSettings.of(fields),
            matrices,
            *splits,
            settings.repeats,
            tell,
            f"train {framework}",
            negatives,
        )


def measure(model: Mean, network: Calibrated, labels: np.ndarray) -> dict[str, Any]:
    """Choose the threshold on the validation pairs, and say what the network is worth there."""
    probabilities = expit(network.val_logits.astype(np.float64))
    threshold = metrics.best_threshold(labels, probabilities)
    measured = metrics.evaluate(labels, probabilities, threshold)
    losses = {
        "uncalibrated": cross_entropy(model.val_logits, labels),
        "calibrated": cross_entropy(network.val_logits, labels),
    }
    return {
        "val_pr_auc": measured["pr_auc"],
        "temperature": network.temperature,
        "val_log_loss": losses,
        "threshold": threshold,
        "val": {name: measured[name] for name in VALIDATION_METRICS},
    }


def describe(score: float, members: Sequence[FitResult]) -> str:
    """Say in a sentence what came out."""
    if len(members) == 1:
        best, epochs = members[0].best.epoch, len(members[0].history)
        return f"Validation PR-AUC {score:.3f} after epoch {best} of {epochs}, the best."
    alone = [member.best.val_pr_auc for member in members]
    return (
        f"Validation PR-AUC {score:.3f}, by the mean of {len(members)} networks of different seeds; "
        f"{min(alone):.3f} to {max(alone):.3f} each alone."
    )


def final_metrics(measured: dict[str, Any]) -> dict[str, float]:
    """Return what MLflow is told of a network that is trained."""
    return {
        **{name: measured[name] for name in ("temperature", "threshold")},
        **{f"val_{name}": measured["val"][name] for name in VALIDATION_METRICS},
        **{f"val_log_loss_{name}": value for name, value in measured["val_log_loss"].items()},
    }


def log_epoch(run: tracking.StageRun, epoch: Epoch) -> None:
    """Log the metrics of an epoch under the names that all epochs have in MLflow."""
    named = {
        "epoch/loss": epoch.train_loss,
        "epoch/val_loss": epoch.val_loss,
        "epoch/val_pr_auc": epoch.val_pr_auc,
        "epoch/learning_rate": epoch.learning_rate,
    }
    run.log_metrics(named, step=epoch.epoch)


def write_history(path: Path, history: Iterable[Epoch]) -> None:
    """Write one line for each epoch."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Epoch._fields)
        writer.writerows(history)
