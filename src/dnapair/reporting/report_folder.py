"""The folder of an evaluation: numbers as JSON, curves as CSV for DVC to draw, figures as PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from dnapair.evaluation import curves
from dnapair.evaluation.metrics import spread
from dnapair.evaluation.outcome import Outcome
from dnapair.evaluation.verdict import Verdict
from dnapair.reporting import plots
from dnapair.reporting.escaping import cell
from dnapair.reporting.page import Subject
from dnapair.storage.files import atomic_file, write_json

DECIMALS = 6
DRAWN_BASELINES = 3
"""Baselines beside the network's curve: the best ones."""


def draw_curves(
    folder: Path,
    labels: np.ndarray,
    probabilities: np.ndarray,
    report: Mapping[str, float],
    beside: Mapping[str, tuple[np.ndarray, Mapping[str, float]]],
    subject: str,
) -> None:
    """Draw ROC and precision-recall curves, the baselines' beside the network's, and write their points.

    Parameters
    ----------
    folder
        Gets ``roc.csv``, ``roc.png``, ``pr.csv`` and ``pr.png``.
    labels, probabilities : np.ndarray, shape=(n,)
        Of the test pairs.
    report
        The network's ``roc_auc``, ``pr_auc`` and ``prevalence``.
    beside
        The baselines by name: scores, shape=(n,), and metrics. The best :data:`DRAWN_BASELINES` are drawn.
    subject
        Framework and encoder.
    """
    for name, area, curve, axes in (
        ("roc", "roc_auc", curves.roc_curve, ("fpr", "tpr")),
        ("pr", "pr_auc", curves.precision_recall_curve, ("recall", "precision")),
    ):
        points = curves.thin(curve(labels, probabilities))
        network = plots.Line(points, report[area])
        # worst first: the last is the darkest
        best = sorted(beside, key=lambda other: beside[other][1][area])[-DRAWN_BASELINES:]
        others = {
            other: plots.Line(curves.thin(curve(labels, beside[other][0])), beside[other][1][area])
            for other in best
        }
        if name == "roc":
            plots.plot_roc(network, others, subject, folder / "roc.png")
        else:
            plots.plot_precision_recall(network, others, report["prevalence"], subject, folder / "pr.png")
        write_csv(folder / f"{name}.csv", dict(zip(axes, points, strict=True)))


def draw_decisions(
    folder: Path,
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    temperature: float,
    subject: str,
) -> None:
    """Draw confusion matrix, calibration and probabilities by class, and write what DVC draws.

    Parameters
    ----------
    folder
        Gets ``confusion.csv``, ``calibration.csv`` and three figures.
    labels, probabilities : np.ndarray, shape=(n,)
        Of the test pairs.
    threshold
        A pair at or above it is predicted related.
    temperature
        What the network's logits were divided by; where it is not 1, calibration is drawn without it too.
    subject
        Framework and encoder.
    """
    predicted = (probabilities >= threshold).astype(np.int64)
    names = np.array(plots.CLASSES)
    write_csv(folder / "confusion.csv", {"actual": names[labels], "predicted": names[predicted]})
    confusion = np.bincount(2 * labels.astype(np.int64) + predicted, minlength=4).reshape(2, 2)
    plots.plot_confusion(confusion, threshold, subject, folder / "confusion.png")
    calibration = curves.calibration(labels, probabilities)
    write_csv(folder / "calibration.csv", calibration._asdict())
    before = (
        curves.calibration(labels, expit(logit(probabilities) * temperature)) if temperature != 1 else None
    )
    plots.plot_calibration(calibration, before, subject, folder / "calibration.png")
    plots.plot_probabilities(labels, probabilities, threshold, subject, folder / "probabilities.png")


def draw_history(folder: Path, history: pd.DataFrame, best_epoch: int, subject: str) -> None:
    """Draw how the network was trained, and write the same for DVC: ``history.csv`` and ``history.png``.

    Parameters
    ----------
    folder, subject
        As for :func:`draw_curves`.
    history, best_epoch
        As for :func:`dnapair.reporting.plots.plot_history`.
    """
    write_csv(folder / "history.csv", history)
    epochs = {str(name): history[name].to_numpy() for name in history}
    plots.plot_history(epochs, best_epoch, subject, folder / "history.png")


def write_numbers(folder: Path, subject: Subject, outcome: Outcome, verdict: Verdict) -> None:
    """Write every number of the report as JSON, and the slices as a table."""
    report = outcome.metrics | {
        "threshold": subject.threshold,
        "n": subject.pairs,
        "prevalence": subject.related / subject.pairs,
    }
    write_json(folder / "metrics.json", rounded(report))
    write_json(folder / "intervals.json", rounded(outcome.intervals))
    rivals = outcome.baselines | {f"the network in {subject.other}": outcome.other}
    write_json(
        folder / "comparison.json",
        rounded(
            {
                name: {
                    "metrics": rival.metrics,
                    "intervals": rival.intervals,
                    "gains": {metric: gain._asdict() for metric, gain in rival.gains.items()},
                }
                for name, rival in rivals.items()
            }
        ),
    )
    write_json(
        folder / "verdict.json",
        verdict._asdict()
        | {"best_baseline": outcome.best_baseline, "units": subject.units}
        | rounded({"uncalibrated": outcome.uncalibrated, "seeds": spread(outcome.seeds)}),
    )
    write_csv(
        folder / "slices.csv",
        pd.DataFrame(
            [
                {"by": part.by, "value": part.value, "pairs": part.pairs, "related": part.related}
                | {
                    key: value
                    for name in part.metrics
                    for key, value in zip(
                        (name, f"{name}_low", f"{name}_high"),
                        (part.metrics[name], *part.intervals[name]),
                        strict=True,
                    )
                }
                for part in outcome.slices
            ]
        ),
    )


def rounded(value: Any) -> Any:
    """Round every number in nested dicts and tuples, so that reports are short and can be compared."""
    if isinstance(value, Mapping):
        return {key: rounded(content) for key, content in value.items()}
    if isinstance(value, tuple):
        return [rounded(content) for content in value]
    # JSON has no word for what is no number
    return round(value, DECIMALS) if np.isfinite(value) else None


def write_csv(path: Path, columns: Mapping[str, np.ndarray] | pd.DataFrame) -> None:
    """Write columns of equal length; no spreadsheet takes a text in them for a formula."""
    table = pd.DataFrame(columns)
    for name in table.select_dtypes(exclude=["number", "bool"]):
        # a carriage return is not quoted, and would end the row
        table[name] = table[name].map(lambda text: cell(text.replace("\r", " ")))
    with atomic_file(path) as temporary:
        table.rename(columns=cell).to_csv(
            temporary, index=False, float_format=f"%.{DECIMALS}g", lineterminator="\n"
        )
