from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnapair.evaluation import metrics
from dnapair.reporting import report_folder

RNG = np.random.default_rng(0)
LABELS = (RNG.random(1500) < 0.35).astype(np.int64)
PROBABILITIES = 1 / (1 + np.exp(-RNG.normal(LABELS * 1.5 - 1)))


def test_curves_are_written_for_dvc_thinned_with_both_ends(tmp_path: Path) -> None:
    measured = metrics.evaluate(LABELS, PROBABILITIES, 0.4) | {"prevalence": LABELS.mean()}
    areas = {"roc_auc": 0.5, "pr_auc": 0.35}
    beside = {"constant": (np.ones(1500), areas), "noise": (RNG.random(1500), areas)}
    report_folder.draw_curves(tmp_path, LABELS, PROBABILITIES, measured, beside, "PyTorch")
    assert {path.name for path in tmp_path.iterdir()} == {"roc.csv", "roc.png", "pr.csv", "pr.png"}
    roc, pr = pd.read_csv(tmp_path / "roc.csv"), pd.read_csv(tmp_path / "pr.csv")
    assert (list(roc), list(pr)) == (["fpr", "tpr"], ["recall", "precision"])
    assert len(roc) == len(pr) == 500
    assert np.trapezoid(roc["tpr"], roc["fpr"]) == pytest.approx(measured["roc_auc"], abs=0.003)
    assert pr["precision"].iloc[-1] == pytest.approx(LABELS.mean(), abs=1e-5)


def test_confusion_holds_every_pair_and_calibration_every_bin(tmp_path: Path) -> None:
    report_folder.draw_decisions(tmp_path, LABELS, PROBABILITIES, 0.4, 1.3, "PyTorch")
    table = pd.crosstab(*pd.read_csv(tmp_path / "confusion.csv").to_numpy().T)
    assert table.loc["related", "related"] == ((LABELS == 1) & (PROBABILITIES >= 0.4)).sum()
    assert table.loc["unrelated", "related"] == ((LABELS == 0) & (PROBABILITIES >= 0.4)).sum()
    assert table.to_numpy().sum() == 1500
    bins = pd.read_csv(tmp_path / "calibration.csv")
    assert bins["pairs"].sum() == 1500
    assert {"confusion.png", "calibration.png", "probabilities.png"} < {
        path.name for path in tmp_path.iterdir()
    }


def test_numbers_are_rounded_wherever_they_are() -> None:
    given = {"a": 0.12345678, "n": 3, "both": (0.1, 2 / 3), "deep": {"b": 1e-9, "none": np.nan}}
    assert report_folder.rounded(given) == {
        "a": 0.123457,
        "n": 3,
        "both": [0.1, 0.666667],
        "deep": {"b": 0.0, "none": None},
    }
