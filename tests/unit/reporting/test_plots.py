from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnapair.evaluation import curves
from dnapair.evaluation.projection import project
from dnapair.reporting import figures, plots

RNG = np.random.default_rng(0)
LABELS = (RNG.random(300) < 0.35).astype(np.int8)
PROBABILITIES = 1 / (1 + np.exp(-RNG.normal(LABELS * 1.5 - 1)))
PLACES = RNG.normal(size=(300, 2)) + LABELS[:, None]
SUBJECT = "PyTorch, untrained encoder (2 x 128)"
ROC = plots.Line(curves.roc_curve(LABELS, PROBABILITIES), 0.8)
PR = plots.Line(curves.precision_recall_curve(LABELS, PROBABILITIES), 0.7)
HISTORY = {name: RNG.random(4) for name in ("train_loss", "val_loss", "val_pr_auc")} | {
    "epoch": np.arange(1, 5)
}

DRAWINGS: dict[str, Callable[[Path], None]] = {
    "roc": lambda path: plots.plot_roc(ROC, {"cosine": ROC, "4-mers": ROC}, SUBJECT, path),
    "pr": lambda path: plots.plot_precision_recall(PR, {}, 0.35, SUBJECT, path),
    "confusion": lambda path: plots.plot_confusion(np.array([[90, 10], [0, 0]]), 0.4, SUBJECT, path),
    "calibration": lambda path: plots.plot_calibration(
        curves.calibration(LABELS, PROBABILITIES),
        curves.calibration(LABELS, PROBABILITIES**2),
        SUBJECT,
        path,
    ),
    "probabilities": lambda path: plots.plot_probabilities(LABELS, PROBABILITIES, 0.4, SUBJECT, path),
    "history": lambda path: plots.plot_history(HISTORY, 2, SUBJECT, path),
    "map": lambda path: plots.plot_map(
        RNG.normal(size=(300, 2)) * 0 + LABELS[:, None], LABELS, SUBJECT, path
    ),
    "scaling": lambda path: figures.plot_scaling(
        np.histogram(PROBABILITIES, 20), np.histogram(2 * PROBABILITIES - 1, 20), SUBJECT, path
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_a_png_with_ink_and_the_same_bytes_every_time(name: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.png", tmp_path / "reports" / "second.png"
    DRAWINGS[name](first)
    DRAWINGS[name](second)
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        assert image.format == "PNG"
        assert min(image.size) >= 600
        colours = image.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 20
    assert {path.name for path in tmp_path.iterdir()} == {"first.png", "reports"}


def test_a_figure_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), figures.drawing(tmp_path / "a.png"):
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []


def test_what_is_drawn_changes_the_bytes(tmp_path: Path) -> None:
    for number, threshold in enumerate((0.4, 0.5)):
        plots.plot_probabilities(LABELS, PROBABILITIES, threshold, SUBJECT, tmp_path / f"{number}.png")
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()


def test_an_untrained_encoder_is_called_so() -> None:
    name = "untrained (2 x 128, k = 6, seed 1)"
    assert figures.describe_encoder(name, trained=False) == "untrained encoder (2 x 128, k = 6, seed 1)"
    assert figures.describe_encoder("zhihan1996/DNA_bert_6", trained=True) == "zhihan1996/DNA_bert_6"


def test_the_map_keeps_two_clouds_apart_and_is_the_same_every_time() -> None:
    features = RNG.normal(size=(60, 70))
    features[:30] += 20
    places = project(features, 1)
    np.testing.assert_array_equal(places, project(features, 1))
    middles = places[:30].mean(axis=0), places[30:].mean(axis=0)
    spread = np.linalg.norm(places[:30] - middles[0], axis=1).max()
    assert np.linalg.norm(middles[0] - middles[1]) > spread


def test_a_handful_of_pairs_has_a_map_too() -> None:
    assert np.isfinite(project(RNG.normal(size=(5, 3)), 1)).all()
