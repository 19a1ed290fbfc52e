"""Stage `train`: the residual network, in one framework, with as many seeds as are asked for."""

import csv
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from tqdm import tqdm

from dnapair import tracking
from dnapair.errors import DnapairError
from dnapair.evaluation import metrics
from dnapair.machine.forks import Send, fork_each, side_by_side
from dnapair.machine.processor import cores
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import Weights, pack_weights, save_weights, unpack_weights
from dnapair.params import Train, flatten, load_params
from dnapair.stages import paths
from dnapair.stages.inputs import identify_interactions, open_matrices, specify
from dnapair.storage.files import atomic_file, atomic_folder, read_json, write_json, write_sums
from dnapair.training.calibration import Calibrated, calibrate
from dnapair.training.frameworks import load_framework, make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import (
    Epoch,
    LoopSettings,
    Matrices,
    Pairs,
    cross_entropy,
    fit,
    positive_weight,
    read_pairs,
)

EXAMPLE_PAIRS = 4
VALIDATION_METRICS = ("pr_auc", "roc_auc", "f1", "accuracy")


class Trained(NamedTuple):
    """A network and what training.json says of it."""

    weights: Weights
    history: list[Epoch]
    report: dict[str, Any]


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
        spec = specify(best["network"])
        matrices = open_matrices(spec)
        weight = positive_weight(settings.positive_weight, train.labels)

        def train_seed(number: int, on_epoch: Callable[[Epoch], None]) -> Trained:
            seed = settings.seed + number
            given = settings.model_copy(update={"positive_weight": weight, "seed": seed})
            return train_network(framework, spec, given, matrices, train, val, on_epoch)

        model, *repeats = train_seeds(framework, train_seed, settings, run)
        report = {
            "framework": framework,
            "positive_weight": weight,
            "interactions": identify_interactions() if spec.interactions else None,
            **model.report,
            "repeats": [repeat.report for repeat in repeats],
        }
        with atomic_folder(paths.model_folder(framework)) as folder:
            save_weights(folder / "weights.safetensors", model.weights)
            write_json(folder / "network.json", spec.to_json())
            write_json(folder / "training.json", report)
            write_history(folder / "history.csv", model.history)
            for repeat in repeats:
                path = folder / "repeats" / f"seed_{repeat.report['seed']}.safetensors"
                save_weights(path, repeat.weights)
            write_sums(folder)
        run.log_params({"positive_weight": weight})
        run.log_parent_metrics({f"{framework}/val_pr_auc": model.report["val_pr_auc"]})
        scores = [trained.report["val_pr_auc"] for trained in (model, *repeats)]
        run.describe(
            f"Validation PR-AUC {scores[0]:.3f} after epoch {model.report['best_epoch']} of "
            f"{model.report['epochs']}, the best"
            + (f"; {min(scores):.3f} to {max(scores):.3f} with {len(scores)} seeds." if repeats else ".")
        )
        if repeats:
            run.log_metrics({"val_pr_auc_mean": np.mean(scores), "val_pr_auc_std": np.std(scores, ddof=1)})
        run.log_file(paths.model_folder(framework), "model_folder")
        example = matrices.read(val.take(slice(EXAMPLE_PAIRS)))
        # it brings MLflow
        from dnapair.tracking.native_models import save_network

        run.log_model(
            f"network-{framework}",
            lambda folder: save_network(framework, spec, model.weights, example, folder),
            splits["val"],
        )


def train_seeds(
    framework: str,
    train_seed: Callable[[int, Callable[[Epoch], None]], Trained],
    settings: Train,
    run: tracking.StageRun,
) -> list[Trained]:
    """Train with every seed, several at a time where the machine allows it.

    Parameters
    ----------
    framework
        For the names of runs.
    train_seed
        Trains, given the number of the repeat, from 0, and what to call after each epoch.
    settings
        How many epochs and seeds.
    run
        The stage's run, which is the first seed's; those of the others come below it.

    Returns
    -------
    list
        In the order of the seeds.

    Raises
    ------
    DnapairError
        If a training diverges or collapses, or the process of one was killed.
    """
    found: dict[int, Trained] = {}
    runs, nested = {0: run}, dict[int, ExitStack]()

    def share_cores() -> None:
        if at_once > 1:
            load_framework(framework).use_threads(max(1, cores() // at_once))

    def train_in_fork(number: int, send: Send) -> None:
        share_cores()
        send(pack(train_seed(number, lambda epoch: send(pack(epoch)))))

    def tell(number: int, news: Epoch | Trained) -> None:
        if number not in runs:
            seed = {"train.seed": settings.seed + number}
            nested[number] = opened.enter_context(ExitStack())
            runs[number] = nested[number].enter_context(
                tracking.trial_run(run, run.run_id, number + 1, seed, f"{framework} repeat")
            )
        if isinstance(news, Epoch):
            log_epoch(runs[number], news)
            bar.set_postfix(loss=f"{news.train_loss:.4f}", val_pr_auc=f"{news.val_pr_auc:.4f}", refresh=False)
            bar.update()
        else:
            found[number] = news
            runs[number].log_metrics(final_metrics(news.report))
            # it may have stopped early
            bar.total = total - sum(settings.epochs - len(trained.history) for trained in found.values())
            if number in nested:
                nested[number].close()

    at_once = side_by_side(settings.repeats)
    total = settings.epochs * settings.repeats
    with (
        ExitStack() as opened,
        tqdm(total=total, desc=f"train {framework}", unit="epoch", dynamic_ncols=True, disable=None) as bar,
    ):
        # where this process has MLflow, a thread of it works with that, and a fork could wait for it for ever
        if at_once > 1 and "mlflow" not in sys.modules:
            load_framework(framework)
            forks = closing(fork_each(train_in_fork, settings.repeats, at_once))
            for number, sent in opened.enter_context(forks):
                tell(number, unpack(sent))
        else:
            share_cores()
            for number in range(settings.repeats):
                tell(number, train_seed(number, partial(tell, number)))
    return [found[number] for number in range(settings.repeats)]


def pack(news: "Epoch | Trained") -> bytes:
    """Return what :func:`unpack` makes the same of in another process."""
    if isinstance(news, Epoch):
        return json.dumps([news]).encode()
    told = json.dumps([None, news.history, news.report]).encode()
    return told + b"\n" + pack_weights(news.weights)


def unpack(packed: bytes) -> "Epoch | Trained":
    """Return what :func:`pack` was given."""
    told, _, weights = packed.partition(b"\n")
    epoch, *trained = json.loads(told)
    if not trained:
        return Epoch(*epoch)
    history, report = trained
    return Trained(unpack_weights(weights), [Epoch(*epoch) for epoch in history], report)


def train_network(
    framework: str,
    spec: NetworkSpec,
    settings: Train,
    matrices: Matrices,
    train: Pairs,
    val: Pairs,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Train with the settings' seed and calibrate."""
    fields = settings.model_dump()
    result = fit(
        make_learner(framework, spec, LearnerSettings.of(fields)),
        matrices,
        train,
        val,
        LoopSettings.of(fields),
        on_epoch,
    )
    if result.collapsed:
        raise DnapairError(
            f"The {framework} network gives all {val.labels.size} validation pairs the same score: its "
            f"training with seed {settings.seed} collapsed. Try a lower train.learning_rate or "
            "network.dropout. Whether the embeddings differ at all stands in reports/validation.html."
        )
    network = (
        calibrate(result, val.labels)
        if settings.calibration == "temperature"
        else Calibrated(1.0, result.weights, result.val_logits)
    )
    probabilities = expit(network.val_logits.astype(np.float64))
    threshold = metrics.best_threshold(val.labels, probabilities)
    measured = metrics.evaluate(val.labels, probabilities, threshold)
    losses = {
        "uncalibrated": cross_entropy(result.val_logits, val.labels),
        "calibrated": cross_entropy(network.val_logits, val.labels),
    }
    report = {
        "seed": settings.seed,
        "best_epoch": result.best.epoch,
        "epochs": len(result.history),
        "val_pr_auc": result.best.val_pr_auc,
        "temperature": network.temperature,
        "val_log_loss": losses,
        "threshold": threshold,
        "val": {name: measured[name] for name in VALIDATION_METRICS},
    }
    return Trained(network.weights, result.history, report)


def final_metrics(report: dict[str, Any]) -> dict[str, float]:
    """Return what MLflow is told of a network that is trained."""
    return {
        **{name: report[name] for name in ("best_epoch", "temperature", "threshold")},
        **{f"val_{name}": report["val"][name] for name in VALIDATION_METRICS},
        **{f"val_log_loss_{name}": value for name, value in report["val_log_loss"].items()},
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
