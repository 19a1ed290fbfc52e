"""Stage `train`: the residual network, in one framework."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.special import expit

from dnapair import tracking
from dnapair.errors import DnapairError
from dnapair.evaluation import metrics
from dnapair.files import atomic_file, atomic_folder, write_json
from dnapair.matrix import MatrixFile
from dnapair.model_logging import log_network
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import save_weights
from dnapair.params import flatten, load_params
from dnapair.stages import paths
from dnapair.training.learner import LearnerSettings
from dnapair.training.learners import make_learner
from dnapair.training.loop import Epoch, LoopSettings, fit, positive_weight, read_pairs

EXAMPLE_PAIRS = 4
VALIDATION_METRICS = ("pr_auc", "roc_auc", "f1", "accuracy")


def run(framework: str) -> None:
    """Train on artifacts/normalized with the best hyperparameters, and write artifacts/models/FRAMEWORK."""
    params = load_params()
    best = json.loads(paths.BEST_HYPERPARAMETERS.read_text(encoding="utf-8"))
    settings = params.train.model_copy(update=best["train"])
    logged = flatten(settings, "train") | {f"network.{key}": value for key, value in best["network"].items()}
    with tracking.stage_run(f"train@{framework}", logged, paths.IDENTITIES) as run:
        matrix = MatrixFile(paths.SCALED)
        train, val = (read_pairs(paths.split_file(split)) for split in ("train", "val"))
        spec = NetworkSpec.from_json({"dimensions": matrix.shape[1], **best["network"]})
        weight = positive_weight(settings.positive_weight, train.labels)
        fields = settings.model_dump() | {"positive_weight": weight}
        learner = LearnerSettings(**{key: fields[key] for key in LearnerSettings._fields})
        loop = LoopSettings(**{key: fields[key] for key in LoopSettings._fields})
        result = fit(
            make_learner(framework, spec, learner),
            matrix,
            train,
            val,
            loop,
            on_epoch=lambda epoch: log_epoch(run, epoch),
            description=f"train {framework}",
        )
        if result.collapsed:
            raise DnapairError(
                f"The {framework} network gives all {val.labels.size} validation pairs the same score: its "
                "training collapsed. Try a lower train.learning_rate or network.dropout. Whether the "
                "embeddings differ at all stands in reports/validation.html."
            )
        probabilities = expit(result.val_logits.astype(np.float64))
        threshold = metrics.best_threshold(val.labels, probabilities)
        measured = metrics.evaluate(val.labels, probabilities, threshold)
        report = {
            "framework": framework,
            "positive_weight": weight,
            "best_epoch": result.best.epoch,
            "epochs": len(result.history),
            "val_pr_auc": result.best.val_pr_auc,
            "threshold": threshold,
            "val": {name: measured[name] for name in VALIDATION_METRICS},
        }
        with atomic_folder(paths.model_folder(framework)) as folder:
            save_weights(folder / "weights.safetensors", result.weights)
            write_json(folder / "network.json", spec.to_json())
            write_json(folder / "training.json", report)
            write_history(folder / "history.csv", result.history)
        run.log_params({"positive_weight": weight})
        run.log_metrics(
            {
                "best_epoch": result.best.epoch,
                "threshold": threshold,
                **{f"best_val_{name}": measured[name] for name in VALIDATION_METRICS},
            }
        )
        run.log_parent_metrics({f"{framework}.val_pr_auc": result.best.val_pr_auc})
        run.log_file(paths.model_folder(framework), "model_folder")
        rows = np.stack([val.rows1, val.rows2], axis=1)[:EXAMPLE_PAIRS]
        log_network(framework, spec, result.weights, matrix[rows].astype(np.float32))


def log_epoch(run: tracking.StageRun, epoch: Epoch) -> None:
    """Log the metrics of an epoch under the names that all epochs have in MLflow."""
    named = {
        "loss": epoch.train_loss,
        "val_loss": epoch.val_loss,
        "val_pr_auc": epoch.val_pr_auc,
        "learning_rate": epoch.learning_rate,
    }
    run.log_metrics(named, step=epoch.epoch)


def write_history(path: Path, history: Iterable[Epoch]) -> None:
    """Write one line for each epoch."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Epoch._fields)
        writer.writerows(history)
