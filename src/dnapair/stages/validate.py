"""Stage `validate`: checks of the scaled data, and the audit of the splits; a failure stops the pipeline."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from dnapair import tracking
from dnapair.checks.audit import Groups, Rules, audit, dropped_pairs
from dnapair.checks.dimensions import REACHES_ENDS, RULES, end_facts, summarize
from dnapair.checks.expectations import Values, check
from dnapair.checks.facts import (
    Fact,
    clipped_fact,
    disjoint_fact,
    interaction_fact,
    row_facts,
    scaler_fact,
    token_facts,
)
from dnapair.checks.findings import Finding, Limit, worst
from dnapair.checks.split_rows import SplitRows, mark, mark_used, negatives_fact, pair_facts
from dnapair.checks.tokens import Tokens, token_health
from dnapair.data.groups import SEQUENCE_ROWS, group_columns
from dnapair.embedding.scaling import Scaler
from dnapair.embedding.store import EmbeddingStore
from dnapair.errors import DnapairError
from dnapair.interactions.scaling import InteractionScaling
from dnapair.interactions.store import InteractionStore
from dnapair.machine.memory import return_freed_arrays
from dnapair.params import Params, Split, flatten, load_params
from dnapair.stages import paths
from dnapair.stages.groups import read_groups
from dnapair.storage.files import atomic_file, read_json, write_json
from dnapair.storage.matrix import MatrixFile
from dnapair.storage.numeric_columns import column_names, read_numbers, read_table
from dnapair.storage.sequence_file import SequenceFile
from dnapair.storage.shards import ShardStore

PAGE = paths.VALIDATION_REPORT.with_suffix(".html")


def run() -> None:
    """Check artifacts/normalized against artifacts/dataset, and write what was found to reports."""
    return_freed_arrays()
    params = load_params()
    logged = (
        flatten(params.checks, "checks") | flatten(params.split, "split") | flatten(params.audit, "audit")
    )
    with tracking.stage_run("validate", logged, paths.IDENTITIES) as run:
        paths.check(paths.DATASET, paths.NORMALIZED)
        store = EmbeddingStore.open(paths.EMBEDDINGS)
        matrix, scaler = MatrixFile(paths.SCALED), Scaler.load(paths.SCALER)
        sequences = SequenceFile(paths.SEQUENCES)
        files = {
            split: SplitRows(*read_numbers(paths.split_file(split), SplitRows._fields))
            for split in ("train", "val", "test")
        }
        negatives = SplitRows(*read_numbers(paths.NEGATIVES, SplitRows._fields))
        training = mark_used(files["train"], len(matrix))
        summary = summarize(matrix, training)
        interactions = MatrixFile(paths.SCALED_INTERACTIONS)
        interacting = InteractionScaling.load(paths.NORMALIZED)
        trained = mark(files["train"].row, len(interactions))
        used = {split: mark_used(rows, len(sequences)) for split, rows in files.items()}
        health = token_health(sequences, used, *store.tokens())
        row1, row2, label = read_numbers(paths.PAIRS, ["row1", "row2", "label"])
        names, codes = read_text("split")
        filed = [
            *row_facts(len(sequences), store.rows, len(matrix)),
            interaction_fact(len(row1), len(negatives.row), len(interactions)),
            *pair_facts(row1, row2, label, names[codes], files, len(matrix)),
            negatives_fact(negatives, files["train"], len(row1)),
        ]
        by_dimension = scaler.mode == "dimension"
        scaling = read_json(paths.SCALING_REPORT)
        facts = [
            *filed,
            scaler_fact("embeddings", (scaler.minimum, scaler.maximum), training_range(store, training)),
            interaction_scaler_fact(interacting, trained),
            clipped_fact("embeddings", scaling["clipped_share"], params.checks.max_clipped_share),
            clipped_fact(
                "interactions", scaling["interactions"]["clipped_share"], params.checks.max_clipped_share
            ),
            *([] if by_dimension else end_facts(summary)),
            *disjoint_facts(params.split, files),
            *(
                fact
                for split, own in health.items()
                for fact in token_facts(
                    split, own.unknown_share, params.checks.max_unknown_share, own.cut_bases
                )
            ),
        ]
        # rows that are not there have no sequence to look at
        findings = audited(params, files, sequences) if all(fact.holds for fact in filed) else [not_audited()]
        matrices = [
            Values("embeddings", summary, [*RULES, *(REACHES_ENDS if by_dimension else ())]),
            Values(
                "interactions",
                summarize(interactions, trained).assign(dimension=interacting.names()),
                [*RULES, *REACHES_ENDS],
            ),
        ]
        outcome = check(matrices, facts, findings)
        write_reports(health, findings, outcome.page)
        write_json(
            paths.VALIDATION_REPORT, {"success": not outcome.failures, "expectations": outcome.expectations}
        )
        checked = len(outcome.expectations) + len(findings)
        run.log_metrics({"expectations": len(outcome.expectations), "failed": len(outcome.failures)})
        run.log_metrics(measured(health, findings))
        run.describe(
            f"{checked - len(outcome.failures)} of {checked} checks hold. The leakage audit's worst finding: "
            f"{worst(findings)}."
        )
        for path in (paths.VALIDATION_REPORT, PAGE, paths.AUDIT_REPORT, paths.TOKENS_REPORT):
            run.log_file(path)
        if outcome.failures:
            sentences = "\n".join(f"  {failure}" for failure in outcome.failures)
            raise DnapairError(
                f"{len(outcome.failures)} of {checked} checks of the scaled data and its splits failed:\n"
                f"{sentences}\nThe report with all of them: {PAGE}. Which findings of the audit stop the "
                "pipeline, and from where on, is set in params.yaml (audit)."
            )


def disjoint_facts(settings: Split, files: dict[str, SplitRows]) -> list[Fact]:
    """Check what the way of splitting promises: `grouped` shares no group and no sequence."""
    if settings.method != "grouped":
        return []
    facts = []
    if settings.groups:
        groups: dict[str, list[np.ndarray]] = {split: [] for split in files}
        for column in settings.groups:
            names, codes = read_text(column)
            for split, rows in files.items():
                known = rows.row[(rows.row >= 0) & (rows.row < codes.size)]
                groups[split].append(names[np.unique(codes[known])])
        facts.append(disjoint_fact("group", {split: np.concatenate(own) for split, own in groups.items()}))
    sequences = {split: np.unique([rows.seq1, rows.seq2]) for split, rows in files.items()}
    return [*facts, disjoint_fact("sequence", sequences)]


def interaction_scaler_fact(scaling: InteractionScaling, training: NDArray[np.bool_]) -> Fact:
    """Compare the scaler of the interactions with the train pairs."""
    low, high = training_range(InteractionStore.open(paths.INTERACTIONS), training)
    columns, scaler = scaling.columns, scaling.scaler
    return scaler_fact(
        "interactions", (scaler.minimum, scaler.maximum), (low[columns], high[columns]), scaling.names()
    )


def training_range(store: ShardStore, training: NDArray[np.bool_]) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and greatest value of each dimension in train, shape=(d,) each."""
    scaler = Scaler(store.dimensions, "dimension")
    for first, values in store.shards():
        scaler.partial_fit(values[: len(training) - first][training[first : first + len(values)]])
    return scaler.minimum, scaler.maximum


def audited(params: Params, files: dict[str, SplitRows], sequences: SequenceFile) -> list[Finding]:
    """Audit the splits as the settings say, and tell what `prepare` dropped."""
    settings = params.audit
    limits = {
        check: Limit(setting.level, setting.above)
        for check, setting in settings
        if check not in ("k", "containment")
    }
    columns = group_columns(params.evaluate.groups, params.split.groups, column_names(paths.PAIRS))
    groups = None
    # without groups of their own, pairs have sequences in common, which other checks look at
    if params.evaluate.groups or not set(columns) <= set(SEQUENCE_ROWS):
        groups = Groups(columns, read_groups(columns, params.split), lambda row: name_groups(columns, row))
    ids = SequenceFile(paths.SEQUENCES, "id")
    rules = Rules(limits, settings.k, settings.containment)
    report = read_json(paths.DATASET_REPORT)
    repeated = report["repeated_across_splits"]
    return [
        dropped_pairs(
            repeated["pairs"], report["pairs"]["read"], repeated["examples"], limits["repeated_pairs"]
        ),
        *audit(files, sequences, sequences.take, ids.take, groups, rules, params.evaluate.seed),
    ]


def not_audited() -> Finding:
    """Say that the files of the splits are broken, so that nothing was looked for in them."""
    words = "The splits were not audited: their files and artifacts/dataset do not fit together."
    return Finding(
        "audit", None, "fail", words, 0, 0, 0.0, [], "Make them again: dvc repro --force --single-item scale."
    )


def name_groups(columns: list[str], row: int) -> list[str]:
    """Return the names of a pair's groups, in the order of the columns."""
    stored = {name: SEQUENCE_ROWS.get(name, name) for name in columns}
    texts = [name for name in columns if name not in SEQUENCE_ROWS]
    (pair,) = read_table(paths.PAIRS, list(stored.values()), texts).slice(row, 1).to_pylist()
    ids = SequenceFile(paths.SEQUENCES, "id")
    return [
        ids[pair[column]] if name in SEQUENCE_ROWS else str(pair[column]) for name, column in stored.items()
    ]


def read_text(column: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a text column of artifacts/dataset/pairs.parquet.

    Parameters
    ----------
    column
        Its name.

    Returns
    -------
    names : np.ndarray, shape=(names,)
        The different values, each one string: one for every pair would take more than all else.
    codes : np.ndarray, shape=(pairs,)
        Each pair's place in ``names``.
    """
    table = read_table(paths.PAIRS, [column], texts=[column])
    values = table[column].combine_chunks()
    return values.dictionary.to_numpy(zero_copy_only=False), values.indices.to_numpy()


def write_reports(health: dict[str, Tokens], findings: list[Finding], page: str) -> None:
    """Write the tokens, the audit and the page."""
    write_json(paths.TOKENS_REPORT, {split: own._asdict() for split, own in health.items()})
    write_json(
        paths.AUDIT_REPORT,
        {"findings": [asdict(finding) for finding in findings], "worst": worst(findings)},
    )
    with atomic_file(PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def measured(health: dict[str, Tokens], findings: list[Finding]) -> dict[str, float]:
    """Name the numbers of tokens and audit for MLflow."""
    numbers: dict[str, float] = {}
    for finding in findings:
        name = f"leakage/{finding.check}.{finding.split or 'data'}"
        numbers |= {f"{name}.count": finding.count, f"{name}.share": finding.share}
    for split, own in health.items():
        numbers |= {f"tokens/{split}.{name}": value for name, value in own._asdict().items()}
    return numbers
