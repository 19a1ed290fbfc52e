"""Stage `register`: the better network becomes a served model, and champion if the gate lets it through."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dnapair import __version__, tracking
from dnapair.checks.reference import SAMPLE, Limits, describe
from dnapair.data.groups import group_columns
from dnapair.data.pair_columns import USUAL_PAIR, PairColumns, request_pairs
from dnapair.errors import DnapairError, first_line
from dnapair.evaluation.gate import Decision, decide
from dnapair.evaluation.metrics import METRICS
from dnapair.evaluation.outcome import compare_scores
from dnapair.evaluation.resampling import Difference, find_units
from dnapair.evaluation.verdict import spell_gain
from dnapair.params import Params, flatten, load_params
from dnapair.registry import version_tags, versions
from dnapair.registry.lifecycle import Lifecycle
from dnapair.registry.loading import load_scorer
from dnapair.scoring.bundle import Settings, write_bundle
from dnapair.scoring.scorer import PairScorer
from dnapair.stages import paths
from dnapair.stages.encoders import open_encoder
from dnapair.stages.groups import read_groups
from dnapair.storage.files import read_json, sha256, write_json
from dnapair.storage.matrix import MatrixFile
from dnapair.storage.numeric_columns import column_names, read_numbers, read_table
from dnapair.storage.sequence_file import SequenceFile

_TOLERANCE = 1e-4
_CHECKED_PAIRS = 256
_SCORED_PAIRS = 4096
_DESCRIBED_ROWS = 1024


def run() -> None:
    """Register the network with the higher validation PR-AUC, and write reports/registration.json."""
    params = load_params()
    logged = flatten(params.registration, "register") | flatten(params.watch, "watch")
    with (
        tracking.stage_run("register", logged, paths.IDENTITIES) as run,
        tempfile.TemporaryDirectory() as temporary,
    ):
        paths.check(*paths.MADE_BY)
        training = {name: read_json(paths.model_folder(name) / "training.json") for name in paths.FRAMEWORKS}
        scores = {name: float(training[name]["val_pr_auc"]) for name in paths.FRAMEWORKS}
        winner = max(paths.FRAMEWORKS, key=lambda name: scores[name])
        settings = Settings(
            params.encoder.pooling,
            params.encoder.strand,
            params.encoder.normalize,
            params.embed.precision,
            params.data.ambiguous,
            float(training[winner]["threshold"]),
            tuple(PairColumns(**pair) for pair in read_json(paths.DATASET_REPORT)["columns"]),
            params.data.width,
        )
        encoder = open_encoder()
        bundle = Path(temporary)
        reference = _describe_training(encoder.vocabulary.k, Limits(**params.watch.model_dump()))
        network = paths.model_folder(winner)
        identity = write_bundle(bundle, encoder, paths.NORMALIZED, network, settings, reference)
        difference = _check(PairScorer(bundle), winner)
        registration = {
            "framework": winner,
            "val_pr_auc": scores,
            "encoder": encoder.name,
            "bundle_sha256": identity,
            "dataset_sha256": sha256(paths.PAIRS),
        }
        write_json(paths.REGISTRATION, registration)
        tested = read_json(paths.report_folder(winner) / "metrics.json")
        tags = {
            version_tags.DATA_TAG: sha256(paths.PAIRS),
            version_tags.VALIDATION_TAG: repr(scores[winner]),
            version_tags.FRAMEWORK_TAG: winner,
            version_tags.MAKER_TAG: __version__,
            **{tag: repr(float(tested[name])) for name, tag in version_tags.TEST_TAGS.items()},
            version_tags.ENCODER_TAG: encoder.name,
            version_tags.REGISTRATION_TAG: sha256(paths.REGISTRATION),
        }
        registered = versions.log_pair_model(
            params.registration.name,
            bundle,
            identity,
            _example(settings.columns),
            tags,
            (paths.report_folder(winner) / "card.md").read_text(encoding="utf-8"),
            run.run_id,
        )
        _gate(registered, winner, params, run)
        run.log_metrics({"val_pr_auc": scores[winner], "largest_difference_to_pipeline": difference})
        test = tracking.Split.of("test", read_json(paths.DATASET_REPORT))
        run.log_split(test)
        named = {f"test/{name}": float(tested[name]) for name in METRICS}
        run.log_metrics(named, split=test, model=registered.model_id)
        run.log_parent_metrics({f"chosen/{name}": tested[name] for name in METRICS})
        run.log_file(paths.REGISTRATION)
        run.log_file(paths.report_folder(winner) / "report.html", "reports")


def _example(columns: Sequence[PairColumns]) -> pd.DataFrame:
    """Return pairs as a user of the model has them."""
    called = [*request_pairs(columns), USUAL_PAIR][0]
    return _pairs("val", 0, 2)[list(USUAL_PAIR)].set_axis(list(called), axis=1)


def _gate(registered: versions.Registered, framework: str, params: Params, run: tracking.StageRun) -> None:
    """Move the alias if the gate lets the new version through; write the reason on the version."""
    settings = params.registration
    life = Lifecycle(settings.name, settings.alias, settings.challenger)
    if life.champion_now() == registered.version:
        run.describe(f"{registered.uri}, the {framework} network, is {settings.alias} already.")
        print(f"register: {registered.uri} is {settings.alias} already")
        return
    kept_back = life.kept_back(registered.version)
    if kept_back:
        run.describe(
            f"{registered.uri}, the {framework} network, does not become {settings.alias}: {kept_back}"
        )
        print(f"register: {registered.uri} does not become {settings.alias}: {kept_back}")
        return
    decision = life.decide(registered.version, _against(framework, params, run, life))
    becomes = "is" if decision.promoted else "does not become"
    run.describe(f"{registered.uri}, the {framework} network, {becomes} {settings.alias}: {decision.reason}")
    print(f"register: {registered.uri} {becomes} {settings.alias}: {decision.reason}")


def _against(
    framework: str, params: Params, run: tracking.StageRun, life: Lifecycle
) -> Callable[[str], Decision]:
    """Return what decides against a champion, given by its version, or against none."""
    settings = params.registration
    findings = read_json(paths.AUDIT_REPORT)["findings"]
    folder = paths.report_folder(framework)
    best = str(read_json(folder / "verdict.json")["best_baseline"])
    gain = Difference(**read_json(folder / "comparison.json")[best]["gains"]["pr_auc"])
    failures = [finding["words"] for finding in findings if finding["level"] == "fail"]

    def against(version: str) -> Decision:
        champion = _against_champion(version, framework, params, run) if version else None
        data, own = life.data_of(version) if version else "", sha256(paths.PAIRS)
        others = f"data {data[:8]}, these are {own[:8]}" if data not in ("", own) else ""
        return decide(failures, best, gain, settings.baseline, champion, settings.margin, others)

    return against


def _against_champion(
    version: str, framework: str, params: Params, run: tracking.StageRun
) -> Difference | str:
    """Compare with the champion on the validation pairs, which decide; log the same on the test pairs.

    Return the reason where it can't score them: it is damaged, or of another question.
    """
    try:
        scorer = load_scorer(f"models:/{params.registration.name}/{version}")
    except DnapairError as error:
        return first_line(error).rstrip(".")
    columns = group_columns(params.evaluate.groups, params.split.groups, column_names(paths.PAIRS))
    groups = read_groups(columns, params.split)
    found = {}
    for split in ("val", "test"):
        row, label = read_numbers(paths.split_file(split), ["row", "label"])
        print(f"register: version {version}, the {params.registration.alias}, scores {label.size} pairs")
        scores = read_table(paths.score_folder(framework) / f"{split}.parquet")["probability"].to_numpy()
        try:
            champions = _scores(scorer, split, label.size)
        except DnapairError as error:
            return first_line(error).rstrip(".")
        found[split] = compare_scores(
            label,
            scores,
            champions,
            find_units(groups[row]),
            params.evaluate.bootstrap,
            params.evaluate.seed,
        )
        run.log_metrics(
            {f"versus_champion/{split}.pr_auc.{name}": end for name, end in found[split]._asdict().items()}
        )
    print(f"register: test PR-AUC {spell_gain(found['test'])} against the champion (it decides nothing)")
    return found["val"]


def _scores(scorer: PairScorer, split: str, count: int) -> np.ndarray:
    """Let the champion score the raw DNA of a split, shape=(count,)."""
    scores = []
    for start in range(0, count, _SCORED_PAIRS):
        pairs = _pairs(split, start, start + _SCORED_PAIRS)
        scores.append(scorer.score(pairs["seq1"].tolist(), pairs["seq2"].tolist()).probability)
    return np.concatenate(scores).astype(np.float64)


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
            f"(allowed: {_TOLERANCE:g}), so it is not registered. "
            "Run: dvc repro --force --single-item score evaluate"
        )
    return difference


def _describe_training(k: int, limits: Limits) -> dict[str, Any]:
    """Describe the train sequences, for the model to hold its input to."""
    matrix, sequences = MatrixFile(paths.SCALED), SequenceFile(paths.SEQUENCES)
    rows = np.unique(read_numbers(paths.split_file("train"), ["seq1", "seq2"]))
    chosen = rows[np.linspace(0, rows.size - 1, min(rows.size, SAMPLE)).astype(np.int64)]
    blocks = (chosen[start : start + _DESCRIBED_ROWS] for start in range(0, chosen.size, _DESCRIBED_ROWS))
    # scaling clips nothing of what it was fitted on
    described = ((sequences.take(block), matrix[block]) for block in blocks)
    return describe(described, k, int(rows.size), limits)


def _pairs(split: str, start: int, stop: int) -> pd.DataFrame:
    """Return the raw DNA and labels of a split's pairs from ``start`` to before ``stop``."""
    rows = read_table(paths.split_file(split)).slice(start, stop - start)
    sequences = SequenceFile(paths.SEQUENCES)
    return pd.DataFrame(
        {
            "seq1": sequences.take(rows["seq1"].to_numpy()),
            "seq2": sequences.take(rows["seq2"].to_numpy()),
            "label": rows["label"].to_numpy(),
        }
    )
