"""The figures of an evaluation: each function draws one PNG from plain arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dnapair.evaluation.curves import Calibration, Curve
from dnapair.reporting.figures import BLUE, GREYS, INK, ORANGE, drawing, title

CLASSES = ("unrelated", "related")
CLASS_COLOURS = (ORANGE, BLUE)
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)))


class Line(NamedTuple):
    """A curve and the area under it, which the legend gives."""

    curve: Curve
    area: float


def plot_roc(network: Line, baselines: Mapping[str, Line], subject: str, path: Path) -> None:
    """Draw ROC curves.

    Parameters
    ----------
    network
        The network's curve and ROC-AUC.
    baselines
        Those of the baselines, by name.
    subject
        Framework and encoder.
    path
        The PNG.
    """
    with drawing(path) as (axes,):
        axes.plot([0, 1], [0, 1], color=GREYS[2], linewidth=1, linestyle=":", label="chance (0.500)")
        _lines(axes, network, baselines)
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        title(axes, "ROC curve on the test pairs", subject)
        _legend(axes, "area under the curve", "lower right")


def plot_precision_recall(
    network: Line, baselines: Mapping[str, Line], prevalence: float, subject: str, path: Path
) -> None:
    """Draw precision-recall curves.

    Parameters
    ----------
    network, baselines, subject, path
        As for :func:`plot_roc`, with average precisions.
    prevalence
        Share of related pairs, which is the precision of chance.
    """
    with drawing(path) as (axes,):
        axes.axhline(
            prevalence, color=GREYS[2], linewidth=1, linestyle=":", label=f"chance ({prevalence:.3f})"
        )
        _lines(axes, network, baselines)
        axes.set(xlabel="recall", ylabel="precision")
        title(axes, "Precision-recall curve on the test pairs", subject)
        _legend(axes, "average precision", "lower left")


def plot_confusion(confusion: np.ndarray, threshold: float, subject: str, path: Path) -> None:
    """Draw a confusion matrix.

    Parameters
    ----------
    confusion : np.ndarray, shape=(2, 2)
        Pairs by actual (row) and predicted label (column).
    threshold
        A pair at or above it is predicted related.
    subject, path
        As for :func:`plot_roc`.
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    with drawing(path, 5.4, 4.8) as (axes,):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)
        for (row, column), count in np.ndenumerate(confusion):
            colour = "white" if shares[row, column] > 0.65 else INK
            axes.text(column, row - 0.06, f"{count:,}", ha="center", fontsize=18, color=colour)
            text = f"{shares[row, column]:.1%} of {CLASSES[row]}"
            axes.text(column, row + 0.14, text, ha="center", fontsize=9, color=colour)
        axes.set_xticks([0, 1], CLASSES)
        axes.set_yticks([0, 1], CLASSES, rotation=90, va="center")
        axes.set(xlabel=f"predicted (threshold {threshold:.3f}, from validation)", ylabel="actual")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        title(axes, "Confusion matrix of the test pairs", subject)


def plot_calibration(calibration: Calibration, before: Calibration | None, subject: str, path: Path) -> None:
    """Draw observed shares of related pairs against predicted probabilities: a reliability plot.

    Parameters
    ----------
    calibration
        Bins; a dot's area is the bin's number of pairs.
    before
        The bins without the temperature; None where there is none.
    subject, path
        As for :func:`plot_roc`.
    """
    predicted, observed, pairs = calibration
    with drawing(path) as (axes,):
        axes.plot([0, 1], [0, 1], color=GREYS[2], linewidth=1, linestyle=":", label="perfect")
        if before is not None:
            axes.plot(
                before.predicted,
                before.observed,
                color=GREYS[1],
                linewidth=1.2,
                linestyle="--",
                label="without temperature",
            )
        axes.plot(predicted, observed, color=BLUE, linewidth=1.2, alpha=0.6)
        area = 260 * pairs / pairs.max() + 12
        axes.scatter(predicted, observed, area, color=BLUE, label="pairs in a bin", zorder=3, clip_on=False)
        for x, y, count in zip(predicted, observed, pairs, strict=True):
            # below the curve, which as a rule rises
            axes.annotate(
                f"{count:,}", (x, y), (11, -8), textcoords="offset points", fontsize=8, color=GREYS[0]
            )
        axes.set(xlabel="mean predicted probability", ylabel="observed share of related pairs")
        _unit_square(axes)
        title(axes, "Calibration on the test pairs", subject)
        axes.legend(loc="upper left", markerscale=0.5)


def plot_probabilities(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float, subject: str, path: Path
) -> None:
    """Draw the distribution of the probabilities of each class.

    Parameters
    ----------
    labels, probabilities : np.ndarray, shape=(n,)
        Of the test pairs.
    threshold
        Marked.
    subject, path
        As for :func:`plot_roc`.
    """
    edges = np.linspace(0, 1, 41)
    with drawing(path) as (axes,):
        for value, (name, colour) in enumerate(zip(CLASSES, CLASS_COLOURS, strict=True)):
            counts = np.histogram(probabilities[labels == value], edges)[0]
            share = 100 * counts / max(int(counts.sum()), 1)
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.25)
            axes.stairs(share, edges, color=colour, linewidth=1.6, label=f"{name} ({counts.sum():,} pairs)")
        axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"threshold {threshold:.3f}")
        axes.set(xlabel="predicted probability", ylabel="share of the class's pairs (%)", xlim=(0, 1))
        title(axes, "Predicted probabilities of the test pairs", subject)
        axes.legend(loc="upper right")


def plot_history(history: Mapping[str, np.ndarray], best_epoch: int, subject: str, path: Path) -> None:
    """Draw loss and validation PR-AUC by epoch.

    Parameters
    ----------
    history
        Columns ``epoch``, ``train_loss``, ``val_loss`` and ``val_pr_auc``, each of shape=(epochs,).
    best_epoch
        The epoch whose weights were kept.
    subject, path
        As for :func:`plot_roc`.
    """
    epochs = history["epoch"]
    with drawing(path, 10, 4.4, columns=2) as (left, right):
        left.plot(
            epochs,
            history["train_loss"],
            color=GREYS[0],
            marker="o",
            markersize=4,
            label="train (with dropout)",
        )
        left.plot(epochs, history["val_loss"], color=BLUE, marker="o", markersize=4, label="validation")
        right.plot(epochs, history["val_pr_auc"], color=BLUE, marker="o", markersize=4, label="validation")
        left.set_ylabel("loss")
        right.set_ylabel("PR-AUC")
        for axes in (left, right):
            axes.axvline(
                best_epoch, color=INK, linewidth=1.2, linestyle="--", label=f"kept: epoch {best_epoch}"
            )
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend(loc="best")
        title(left, "Loss", subject)
        title(right, "Validation PR-AUC", "decides learning rate, early stopping and the epoch that is kept")


def plot_map(places: np.ndarray, labels: np.ndarray, subject: str, path: Path) -> None:
    """Draw pairs on a plane.

    Parameters
    ----------
    places : np.ndarray, shape=(n, 2)
        From :func:`dnapair.evaluation.projection.project`.
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated.
    subject, path
        As for :func:`plot_roc`.
    """
    with drawing(path, 6, 5.6) as (axes,):
        for value, (name, colour, marker) in enumerate(zip(CLASSES, CLASS_COLOURS, "o^", strict=True)):
            x, y = places[labels == value].T
            axes.scatter(
                x, y, s=16, color=colour, marker=marker, alpha=0.6, linewidth=0, label=f"{name} ({x.size:,})"
            )
        axes.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
        axes.grid(visible=False)
        title(axes, "Map of the network's input, sampled test pairs", subject)
        axes.legend(loc="best", markerscale=1.6)


def _lines(axes: Axes, network: Line, baselines: Mapping[str, Line]) -> None:
    for (name, (curve, area)), colour, dash in zip(
        baselines.items(), GREYS[::-1], DASHES[::-1], strict=False
    ):
        axes.plot(curve.x, curve.y, color=colour, linewidth=1.5, linestyle=dash, label=f"{name} ({area:.3f})")
    axes.plot(network.curve.x, network.curve.y, color=BLUE, label=f"network ({network.area:.3f})")
    _unit_square(axes)


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")


def _legend(axes: Axes, heading: str, place: Literal["lower right", "lower left"]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.legend(
        handles[::-1], labels[::-1], loc=place, title=heading, title_fontsize=9, alignment="left"
    )
    legend.get_title().set_color(GREYS[0])
