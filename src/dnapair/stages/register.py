"""Stage `register`: the better network becomes a served model, and champion if it beats the present one."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score

from dnapair import registry, tracking
from dnapair.errors import DnapairError
from dnapair.files import sha256, write_json
from dnapair.params import flatten, load_params
from dnapair.scoring import PairScorer, Settings, write_bundle
from dnapair.sequence_file import SequenceFile
from dnapair.stages import paths
from dnapair.stages.encoders import open_encoder

FRAMEWORKS = ("torch", "tensorflow")
_TOLERANCE = 1e-4
_CHECKED_PAIRS = 256
_SCORED_PAIRS = 4096
_DATA_TAG = "dnapair.dataset_sha256"
_SCORE_TAG = "dnapair.val_pr_auc"


def run() -> None:
    """Register the network with the higher validation PR-AUC, and write reports/registration.json."""
    params = load_params()
    logged = flatten(params.registration, "register")
    with (
        tracking.stage_run("register", logged, paths.IDENTITIES) as run,
        tempfile.TemporaryDirectory() as temporary,
    ):
        training = {name: _read(paths.model_folder(name) / "training.json") for name in FRAMEWORKS}
        scores = {name: float(training[name]["val_pr_auc"]) for name in FRAMEWORKS}
        winner = max(FRAMEWORKS, key=lambda name: scores[name])
        settings = Settings(
            params.encoder.pooling,
            params.encoder.strand,
            params.encoder.normalize,
            params.embed.precision,
            params.data.ambiguous,
            float(training[winner]["threshold"]),
        )
        encoder = open_encoder(params.encoder)
        bundle = Path(temporary)
        identity = write_bundle(bundle, encoder, paths.SCALER, paths.model_folder(winner), settings)
        difference = _check(PairScorer(bundle), winner)
        metrics = _read(paths.report_folder(winner) / "metrics.json")
        registration = {
            "framework": winner,
            "val_pr_auc": scores,
            "encoder": encoder.name,
            "bundle_sha256": identity,
            "dataset_sha256": sha256(paths.PAIRS),
        }
        write_json(paths.REGISTRATION, registration)
        tags = {
            _DATA_TAG: sha256(paths.PAIRS),
            _SCORE_TAG: repr(scores[winner]),
            "dnapair.framework": winner,
            registry.REGISTRATION_TAG: sha256(paths.REGISTRATION),
        }
        known = registry.champion(params.registration.name, params.registration.alias)
        registered = registry.log_pair_model(
            params.registration.name,
            bundle,
            identity,
            _pairs("val", 0, 2)[["seq1", "seq2"]],
            tags,
            _describe(registration, metrics),
        )
        _gate(registered, known, params.registration.alias, scores[winner])
        run.log_metrics({"val_pr_auc": scores[winner], "largest_difference_to_pipeline": difference})
        run.log_file(paths.REGISTRATION)


def _gate(registered: registry.Registered, known: Any, alias: str, score: float) -> None:
    if known is None:
        reason = f"the first {alias}"
    elif str(known.version) == registered.version:
        print(f"register: {registered.uri} is {alias} already")
        return
    else:
        former = _champion_score(known)
        if score <= former:
            print(
                f"register: {registered.uri} does not become {alias}: "
                f"validation PR-AUC {score:.4f}, version {known.version} has {former:.4f} on the same data"
            )
            return
        reason = (
            f"validation PR-AUC {score:.4f} against {former:.4f} of version {known.version} on the same data"
        )
    registry.promote(registered, alias, reason)
    print(f"register: {registered.uri} is {alias}: {reason}")


def _champion_score(known: Any) -> float:
    """Return the champion's PR-AUC on the present validation pairs."""
    if known.tags.get(_DATA_TAG) == sha256(paths.PAIRS):
        return float(known.tags[_SCORE_TAG])
    count = pq.read_metadata(paths.split_file("val")).num_rows
    print(f"register: the champion was trained on other data, it now scores {count} validation pairs")
    scorer = registry.load_scorer(f"models:/{known.name}/{known.version}")
    labels, probabilities = [], []
    for start in range(0, count, _SCORED_PAIRS):
        pairs = _pairs("val", start, start + _SCORED_PAIRS)
        labels.append(pairs["label"])
        probabilities.append(scorer.score(pairs["seq1"].tolist(), pairs["seq2"].tolist()).probability)
    return float(average_precision_score(np.concatenate(labels), np.concatenate(probabilities)))


def _check(scorer: PairScorer, framework: str) -> float:
    """Return how far the bundle is from the pipeline's own predictions on the first test pairs."""
    pairs = _pairs("test", 0, _CHECKED_PAIRS)
    predictions = paths.report_folder(framework) / "predictions.csv"
    expected = pd.read_csv(predictions, nrows=_CHECKED_PAIRS)["probability"]
    scores = scorer.score(pairs["seq1"].tolist(), pairs["seq2"].tolist())
    difference = float(np.abs(scores.probability - expected.to_numpy()).max())
    if difference > _TOLERANCE:
        raise DnapairError(
            f"The served model differs from the pipeline's predictions by up to {difference:.2g} "
            f"(allowed: {_TOLERANCE:g}), so it is not registered. Run: dvc repro --force evaluate"
        )
    return difference


def _pairs(split: str, start: int, stop: int) -> pd.DataFrame:
    """Return the raw DNA and labels of a split's pairs from ``start`` to before ``stop``."""
    rows = pq.read_table(paths.split_file(split)).slice(start, stop - start)
    sequences = SequenceFile(paths.SEQUENCES)
    return pd.DataFrame(
        {
            "seq1": sequences.take(rows["seq1"].to_numpy()),
            "seq2": sequences.take(rows["seq2"].to_numpy()),
            "label": rows["label"].to_numpy(),
        }
    )


def _describe(registration: dict[str, Any], metrics: dict[str, Any]) -> str:
    test = ", ".join(f"{key} {metrics[key]:.3f}" for key in ("roc_auc", "pr_auc", "accuracy", "f1"))
    return (
        f"Residual network ({registration['framework']}) on embeddings by {registration['encoder']}.\n\n"
        f"Test: {test}. Takes raw DNA in `seq1` and `seq2`, gives `probability` and `label`."
    )


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
