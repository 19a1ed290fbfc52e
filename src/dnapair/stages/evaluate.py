"""Stage `evaluate`: both networks on the test pairs: how good, how sure, better than what, where they err."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel

from dnapair import tracking
from dnapair.data.groups import group_columns
from dnapair.errors import DnapairError
from dnapair.evaluation import metrics
from dnapair.evaluation.compositions import measure_compositions
from dnapair.evaluation.outcome import COMPARED, MAIN, Network, Outcome, Prediction, measure
from dnapair.evaluation.projection import map_pairs
from dnapair.evaluation.resampling import Units, describe_units, find_units
from dnapair.evaluation.slices import Slice, find_slices
from dnapair.evaluation.verdict import Verdict, judge
from dnapair.machine.forks import do_each
from dnapair.networks.spec import NetworkSpec
from dnapair.params import Params, flatten, load_params
from dnapair.reporting.figures import describe_encoder
from dnapair.reporting.page import Subject, render_page, write_card
from dnapair.reporting.plots import plot_map
from dnapair.reporting.report_folder import (
    draw_curves,
    draw_decisions,
    draw_history,
    write_csv,
    write_numbers,
)
from dnapair.stages import paths
from dnapair.stages.groups import read_groups
from dnapair.storage.files import atomic_folder, read_json, sha256
from dnapair.storage.matrix import MatrixFile
from dnapair.storage.numeric_columns import column_names, open_parquet, read_numbers, read_table
from dnapair.storage.sequence_file import SequenceFile

TITLES = {"torch": "PyTorch", "tensorflow": "TensorFlow"}
ROUNDING = 1e-4
"""How far a threshold may be from the one computed again: scores differ a little between machines."""
OF_THE_MODEL = ("test", "test_intervals")
"""Groups of metrics that MLflow shows on the model's page too."""
OWN_COLUMNS = ("row1", "row2", "label", "split")
_BLOCK = 8192


class Scored(NamedTuple):
    """A framework's network on the test pairs, and how it was trained."""

    network: Network
    training: dict[str, Any]


class Measured(NamedTuple):
    """All that is found on the test pairs.

    Attributes
    ----------
    rows, labels : np.ndarray, shape=(n,)
        The test pairs' rows in pairs.parquet, and 1 for related, 0 for unrelated.
    columns
        Of what they have in common.
    units
        What was drawn for the intervals.
    scored, outcomes
        By framework.
    baselines
        By name.
    chosen, places
        From :func:`~dnapair.evaluation.projection.map_pairs`.
    """

    rows: np.ndarray
    labels: np.ndarray
    columns: list[str]
    units: Units
    scored: dict[str, Scored]
    outcomes: dict[str, Outcome]
    baselines: dict[str, Prediction]
    chosen: np.ndarray
    places: np.ndarray


class Report(NamedTuple):
    """What is reported of a framework's network."""

    subject: Subject
    outcome: Outcome
    verdict: Verdict


def run() -> None:
    """Measure artifacts/scores against everything else, and write reports/torch and reports/tensorflow."""
    params = load_params()
    logged = flatten(params.evaluate, "evaluate")
    shown = {
        "data": params.data,
        "split": params.split,
        "encoder": params.encoder,
        "finetune": params.finetune,
        "embed": params.embed,
        "interactions": params.interactions,
        "scale": params.scale,
        "checks": params.checks,
        "audit": params.audit,
        "network": params.network,
        "train": params.train,
        "tune": params.tune,
        "evaluate": params.evaluate,
    }
    found: dict[str, Report] = {}
    for framework in TITLES:
        with tracking.stage_run(f"evaluate@{framework}", logged, paths.IDENTITIES) as run:
            # of both at once: the same resamples of the same baselines serve both
            found = found or report_all(params, shown)
            log(run, framework, found[framework])


def report_all(params: Params, shown: Mapping[str, BaseModel]) -> dict[str, Report]:
    """Measure the networks of both frameworks, and write the report of each."""
    measured = measure_all(params)
    found = {name: describe(name, measured, params.evaluate.bootstrap, shown) for name in TITLES}
    do_each(lambda name: write(name, measured, found[name]), list(TITLES))
    return found


def measure_all(params: Params) -> Measured:
    """Measure the networks of both frameworks.

    Raises
    ------
    DnapairError
        If what they are measured by is damaged, or a threshold was not chosen on validation.
    """
    settings = params.evaluate
    paths.check(*(folder for folder in paths.MADE_BY if folder != paths.ENCODER))
    rows, seq1, seq2, label = read_numbers(paths.split_file("test"), ["row", "seq1", "seq2", "label"])
    labels, sequences = label.astype(np.int64), np.stack([seq1, seq2], axis=1)
    scored, baselines = {framework: read_scores(framework) for framework in TITLES}, read_baselines()
    columns = group_columns(settings.groups, params.split.groups, pair_columns())
    units = find_units(read_groups(columns, params.split)[rows])
    symmetric = read_json(paths.BEST_HYPERPARAMETERS)["network"]["symmetric"]
    outcomes = measure(
        labels,
        {framework: one.network for framework, one in scored.items()},
        baselines,
        read_slices(settings.slices, rows, sequences),
        units,
        settings.bootstrap,
        settings.seed,
    )
    chosen, places = map_pairs(
        MatrixFile(paths.SCALED), sequences.T, symmetric, settings.map_pairs, settings.seed
    )
    return Measured(rows, labels, columns, units, scored, outcomes, baselines, chosen, places)


def describe(framework: str, measured: Measured, draws: int, shown: Mapping[str, BaseModel]) -> Report:
    """Put together what the report of a framework's network says."""
    labels = measured.labels
    network, training = measured.scored[framework]
    outcome = measured.outcomes[framework]
    findings = read_json(paths.AUDIT_REPORT)["findings"]
    scaling = read_json(paths.SCALING_REPORT)
    (other,) = (name for name in TITLES if name != framework)
    subject = Subject(
        f"{TITLES[framework]}, {describe_encoder(scaling['encoder'], scaling['trained'])}",
        TITLES[framework],
        TITLES[other],
        labels.size,
        int(labels.sum()),
        describe_inputs(
            NetworkSpec.from_json(read_json(paths.model_folder(framework) / "network.json")),
            read_json(paths.BEST_HYPERPARAMETERS)["inputs"],
            training["random_negatives"],
        ),
        network.prediction.threshold,
        network.temperature,
        describe_units(measured.units, measured.columns),
        draws,
        read_json(paths.DATASET_REPORT),
        findings,
        read_json(paths.TOKENS_REPORT),
        read_json(paths.FOLDS_REPORT),
        {name: section.model_dump(mode="json") for name, section in shown.items()},
        hashes(framework, scaling),
        read_json(paths.FINETUNING_REPORT),
    )
    return Report(subject, outcome, judge(outcome, subject.pairs, subject.related, findings))


def write(framework: str, measured: Measured, report: Report) -> None:
    """Write reports/FRAMEWORK."""
    subject, outcome, verdict = report
    labels, title = measured.labels, subject.title
    network, training = measured.scored[framework]
    scores, threshold, _ = network.prediction
    with atomic_folder(paths.report_folder(framework)) as folder:
        write_numbers(folder, subject, outcome, verdict)
        predictions = {"row": measured.rows, "label": labels, "probability": scores}
        drawn = {f"unit{place}": codes for place, codes in enumerate(measured.units.codes.T, start=1)}
        write_csv(folder / "predictions.csv", predictions | drawn)
        draw_curves(
            folder,
            labels,
            scores,
            outcome.metrics | {"prevalence": subject.related / subject.pairs},
            {
                name: (measured.baselines[name].scores, rival.metrics)
                for name, rival in outcome.baselines.items()
            },
            title,
        )
        draw_decisions(folder, labels, scores, threshold, network.temperature, title)
        history = pd.read_csv(paths.model_folder(framework) / "history.csv")
        first, *others = training["members"]
        shown_of = f"{title}, the first of its {1 + len(others)} networks" if others else title
        draw_history(folder, history, first["best_epoch"], shown_of)
        plot_map(measured.places, labels[measured.chosen], title, folder / "map.png")
        page = render_page(subject, outcome, verdict, folder)
        (folder / "report.html").write_text(page, encoding="utf-8")
        (folder / "card.md").write_text(write_card(subject, outcome, verdict), encoding="utf-8")


def describe_inputs(spec: NetworkSpec, compared: Mapping[str, float], drawn: int) -> str:
    """Say what the network takes of a pair, what validation said of others, and what else it learnt from."""
    parts = ["the embeddings of both sequences"] if spec.embeddings else []
    if spec.interactions:
        parts.append(f"{spec.interactions} interactions, how the two meet base by base")
    order = "both orders of a pair have one score" if spec.symmetric else "the order of a pair matters"
    kind = "It" if spec.members == 1 else f"It is the mean of {spec.members} networks of different seeds, and"
    found = f"{kind} takes {', and '.join(parts)}; {order}."
    if compared:
        scores = ", ".join(f"{score:.3f} with {name}" for name, score in compared.items())
        found += f" Validation decided: PR-AUC after the first epochs {scores}."
    if drawn:
        found += (
            f" Besides the train pairs it learnt from {drawn:,} unrelated ones, drawn of their sequences."
        )
    return found


def read_scores(framework: str) -> Scored:
    """Read a network's scores of the test pairs, and prove its threshold on the validation pairs.

    Raises
    ------
    DnapairError
        If the threshold is not the one that the validation pairs give.
    """
    training = read_json(paths.model_folder(framework) / "training.json")
    threshold = float(training["threshold"])
    val = read_table(paths.score_folder(framework) / "val.parquet").to_pandas()
    (labels,) = read_numbers(paths.split_file("val"), ["label"])
    expected = metrics.best_threshold(labels, val["probability"].to_numpy())
    if abs(threshold - expected) > ROUNDING:
        raise DnapairError(
            f"The threshold of the {framework} network, {threshold:.4f}, is not the one that the validation "
            f"pairs give ({expected:.4f}): it was chosen on other pairs, test pairs perhaps, so its accuracy "
            "and F1 on test would be worth nothing. Train it again: dvc repro --force --single-item train"
        )
    test = read_table(paths.score_folder(framework) / "test.parquet").to_pandas()
    members = [test[name].to_numpy() for name in test if str(name).startswith("seed_")]
    about = f"The same specification, data, hyperparameters and seeds in {TITLES[framework]}."
    prediction = Prediction(test["probability"].to_numpy(), threshold, about)
    return Scored(Network(prediction, float(training["temperature"]), members), training)


def read_baselines() -> dict[str, Prediction]:
    """Read what the stage `baselines` says of the test pairs."""
    about = read_json(paths.BASELINES / "baselines.json")
    scores = read_table(paths.BASELINES / "test.parquet").to_pandas()
    return {
        name: Prediction(scores[name].to_numpy(np.float64), float(one["threshold"]), one["about"])
        for name, one in about.items()
    }


def pair_columns() -> list[str]:
    """Return the names of the pair table's columns besides dnapair's own."""
    return [name for name in column_names(paths.PAIRS) if name not in OWN_COLUMNS]


def read_slices(wanted: list[str] | None, row: np.ndarray, sequences: np.ndarray) -> list[Slice]:
    """Read what tells pairs apart, and cut the test pairs by it.

    Parameters
    ----------
    wanted
        ``evaluate.slices``: columns to cut by.
    row : np.ndarray, shape=(n,)
        The test pairs' rows in pairs.parquet.
    sequences : np.ndarray, shape=(n, 2)
        Their two sequences.

    Raises
    ------
    DnapairError
        If a column is wanted that is not there.
    """
    there = pair_columns()
    missing = [name for name in wanted or [] if name not in there]
    if missing:
        raise DnapairError(
            f"evaluate.slices names {', '.join(map(repr, missing))}, but the pairs have the columns "
            f"{', '.join(there) or 'of label and sequences only'}. Name some of these, or set it to null."
        )
    table = read_table(paths.PAIRS, there).take(row).to_pandas() if there else pd.DataFrame()
    in_train = np.zeros(open_parquet(paths.SEQUENCES).metadata.num_rows, bool)
    for used in read_numbers(paths.split_file("train"), ["seq1", "seq2"]):
        in_train[used] = True
    rows, places = np.unique(sequences, return_inverse=True)
    file = SequenceFile(paths.SEQUENCES)
    blocks = [rows[start : start + _BLOCK] for start in range(0, rows.size, _BLOCK)]
    compositions = np.concatenate([measure_compositions(file.take(block)) for block in blocks])
    return find_slices(table, wanted, sequences, in_train, compositions[places.reshape(sequences.shape)])


def hashes(framework: str, scaling: Mapping[str, Any]) -> dict[str, str]:
    """Name the files that the numbers depend on by their SHA-256."""
    dataset = read_json(paths.DATASET_REPORT)["files"]
    model = paths.model_folder(framework)
    return {
        **{f"dataset: {name}": digest for name, digest in dataset.items()},
        "scaled embeddings": scaling["files"]["embeddings.npy"],
        "scaler": scaling["files"]["scaler.safetensors"],
        "scaled interactions": scaling["files"]["interactions.npy"],
        "weights": sha256(model / "weights.safetensors"),
        "network": sha256(model / "network.json"),
    }


def log(run: tracking.StageRun, framework: str, report: Report) -> None:
    """Log numbers under names that runs are compared by, and all files, which hold the rest."""
    subject, outcome, verdict = report
    best = outcome.baselines[outcome.best_baseline].gains[MAIN].estimate
    rivals = {
        tracking.metric_name(name): rival
        for name, rival in (outcome.baselines | {"other framework": outcome.other}).items()
    }
    # MLflow sorts the groups by name: what people look for first must come first
    groups = {
        "test": {
            **outcome.metrics,
            f"{MAIN}_gain_over_best_baseline": best,
            "threshold": subject.threshold,
            "pairs": subject.pairs,
            "prevalence": subject.related / subject.pairs,
        },
        "test_intervals": {
            f"{name}_{end}": value
            for name, both in outcome.intervals.items()
            for end, value in zip(("low", "high"), both, strict=True)
        },
        "test_seeds": {f"{name}_sd": sd for name, (_, sd) in metrics.spread(outcome.seeds).items()},
        "test_slices": {
            f"{tracking.metric_name(f'{part.by}.{part.value}')}.{metric}": value
            for part in outcome.slices
            for metric, value in part.metrics.items()
        },
        "test_uncalibrated": outcome.uncalibrated,
        "test_versus": {
            f"{name}.{metric}": rival.metrics[metric] for name, rival in rivals.items() for metric in COMPARED
        },
        "test_versus_gain": {
            f"{name}.{metric}{end}": value
            for name, rival in rivals.items()
            for metric in metrics.RANKING
            for end, value in zip(("", "_low", "_high"), rival.gains[metric][:3], strict=True)
        },
    }
    split = tracking.Split.of("test", subject.dataset)
    run.log_split(split)
    weights = sha256(paths.IDENTITIES[f"train@{framework}"])
    for group, logged in groups.items():
        finite = {f"{group}/{name}": value for name, value in logged.items() if np.isfinite(value)}
        run.log_metrics(finite, split=split, model=weights if group in OF_THE_MODEL else None)
    tested = "".join(sha256(path) for path in (paths.PAIRS, paths.SEQUENCES, paths.split_file("test")))
    run.set_tags(
        {
            tracking.TESTED_TAG: hashlib.sha256(tested.encode()).hexdigest(),
            "dnapair.verdict": verdict.headline,
        }
    )
    run.describe((paths.report_folder(framework) / "card.md").read_text(encoding="utf-8"))
    run.log_parent_metrics(
        {
            **{f"{framework}/{name}": outcome.metrics[name] for name in metrics.METRICS},
            f"{framework}/{MAIN}_gain_over_best_baseline": best,
        }
    )
    for path in sorted(paths.report_folder(framework).iterdir()):
        run.log_file(path, "plots" if path.suffix == ".png" else "reports")
    print(f"evaluate {framework}: {verdict.headline} {paths.report_folder(framework) / 'report.html'}")
