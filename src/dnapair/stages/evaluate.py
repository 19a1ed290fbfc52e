"""Stage `evaluate`: a trained network on the test pairs, once: metrics, intervals, baselines, plots."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from dnapair import tracking
from dnapair.evaluation import metrics, plots
from dnapair.evaluation.baselines import Baseline, baselines
from dnapair.evaluation.projection import project
from dnapair.evaluation.report import draw_curves, draw_decisions, rounded, write_csv
from dnapair.features import interaction
from dnapair.figures import describe_encoder
from dnapair.files import atomic_folder, write_json
from dnapair.matrix import Matrix, MatrixFile
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import load_weights
from dnapair.numbers import read_numbers
from dnapair.params import Evaluate, flatten, load_params
from dnapair.sequence_file import SequenceFile
from dnapair.stages import paths
from dnapair.training.learner import LearnerSettings
from dnapair.training.learners import make_learner
from dnapair.training.loop import Pairs, predict, read_pairs

TITLES = {"torch": "PyTorch", "tensorflow": "TensorFlow"}


def run(framework: str) -> None:
    """Score the test pairs with artifacts/models/FRAMEWORK, and write reports/FRAMEWORK."""
    params = load_params()
    settings = params.evaluate
    stage = f"evaluate@{framework}"
    with tracking.stage_run(stage, flatten(settings, "evaluate"), paths.IDENTITIES) as run:
        model = paths.model_folder(framework)
        training = read_json(model / "training.json")
        spec = NetworkSpec.from_json(read_json(model / "network.json"))
        matrix = MatrixFile(paths.SCALED)
        splits = {name: read_pairs(paths.split_file(name)) for name in ("train", "val", "test")}
        test, threshold = splits["test"], float(training["threshold"])
        labels = test.labels.astype(np.int64)
        (rows,) = read_numbers(paths.split_file("test"), ["row"])
        probabilities = score(framework, spec, model / "weights.safetensors", matrix, test)
        measured = metrics.evaluate(labels, probabilities, threshold)
        ends = metrics.intervals(labels, probabilities, threshold, settings.bootstrap, settings.seed)
        beside = baselines(matrix, SequenceFile(paths.SEQUENCES).take, splits, settings.seed)
        report = measured | {
            "threshold": threshold,
            "n": test.labels.size,
            "prevalence": float(test.labels.mean()),
        }
        with atomic_folder(paths.report_folder(framework)) as folder:
            write_json(folder / "metrics.json", rounded(report))
            write_json(folder / "intervals.json", rounded(ends))
            write_json(
                folder / "baselines.json", rounded({name: found.metrics for name, found in beside.items()})
            )
            write_csv(
                folder / "predictions.csv",
                {"row": rows, "label": labels, "probability": probabilities},
            )
            history = pd.read_csv(model / "history.csv")
            write_csv(folder / "history.csv", history)
            scaling = read_json(paths.SCALING_REPORT)
            subject = f"{TITLES[framework]}, {describe_encoder(scaling['encoder'], scaling['trained'])}"
            draw_curves(folder, labels, probabilities, report, beside, subject)
            draw_decisions(folder, labels, probabilities, threshold, subject)
            epochs = {str(name): history[name].to_numpy() for name in history}
            plots.plot_history(epochs, int(training["best_epoch"]), subject, folder / "history.png")
            draw_map(folder / "map.png", matrix, test, spec, settings, subject)
        log(run, framework, report, ends, beside)


def score(framework: str, spec: NetworkSpec, weights: Path, matrix: Matrix, pairs: Pairs) -> np.ndarray:
    """Return the network's probability for each pair, shape=(n,), float64."""
    # no step is taken, so how steps would be taken does not matter
    learner = make_learner(framework, spec, LearnerSettings(0.0, 0.0, 1.0, 1.0, seed=1))
    learner.set_weights(load_weights(weights, spec))
    logits = predict(learner, matrix, pairs.rows1, pairs.rows2)
    probabilities: np.ndarray = expit(logits.astype(np.float64))
    return probabilities


def draw_map(
    path: Path, matrix: Matrix, test: Pairs, spec: NetworkSpec, settings: Evaluate, subject: str
) -> None:
    """Draw sampled test pairs on a plane, by the features that the network sees."""
    rng = np.random.default_rng(settings.seed)
    chosen = np.sort(rng.permutation(test.labels.size)[: settings.map_pairs])
    first, second = (matrix[rows[chosen]].astype(np.float32) for rows in (test.rows1, test.rows2))
    seen = interaction(first, second, spec.symmetric)
    places = project(np.concatenate(seen, axis=1), settings.seed)
    plots.plot_map(places, test.labels[chosen], subject, path)


def log(
    run: tracking.StageRun,
    framework: str,
    report: Mapping[str, float],
    ends: Mapping[str, tuple[float, float]],
    beside: Mapping[str, Baseline],
) -> None:
    """Log all numbers and files."""
    bounds = {
        f"{name}_{end}": value
        for name, both in ends.items()
        for end, value in zip(("low", "high"), both, strict=True)
    }
    others = {
        f"baseline.{other.replace(' ', '_')}.{name}": value
        for other, found in beside.items()
        for name, value in found.metrics.items()
    }
    run.log_metrics({**report, **bounds, **others})
    run.log_parent_metrics({f"{framework}.{name}": report[name] for name in metrics.METRICS})
    for path in sorted(paths.report_folder(framework).iterdir()):
        run.log_file(path, "plots" if path.suffix == ".png" else "reports")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
