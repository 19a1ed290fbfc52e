"""Stage `validate`: checks of the scaled data; one that fails stops the pipeline."""

import json

import numpy as np
import pyarrow.parquet as pq

from dnapair import tracking
from dnapair.checks import REACHES_ENDS, RULES, check
from dnapair.embedding.store import EmbeddingStore
from dnapair.errors import DnapairError
from dnapair.files import atomic_file, write_json
from dnapair.matrix import MatrixFile
from dnapair.memory import return_freed_arrays
from dnapair.numbers import read_numbers
from dnapair.params import Split, flatten, load_params
from dnapair.scaling import Scaler
from dnapair.stages import paths
from dnapair.summaries import (
    Fact,
    SplitRows,
    clipped_fact,
    disjoint_fact,
    end_facts,
    pair_facts,
    row_facts,
    summarize,
)

PAGE = paths.VALIDATION_REPORT.with_suffix(".html")


def run() -> None:
    """Check artifacts/normalized against artifacts/dataset, and write reports/validation.{json,html}."""
    return_freed_arrays()
    params = load_params()
    logged = flatten(params.checks, "checks") | flatten(params.split, "split")
    with tracking.stage_run("validate", logged, paths.IDENTITIES) as run:
        matrix = MatrixFile(paths.SCALED)
        row1, row2, label = read_numbers(paths.PAIRS, ["row1", "row2", "label"])
        names, codes = read_text("split")
        files = {
            split: SplitRows(*read_numbers(paths.split_file(split), SplitRows._fields))
            for split in ("train", "val", "test")
        }
        training = np.zeros(len(matrix), bool)
        for used in (files["train"].seq1, files["train"].seq2):
            training[used[(used >= 0) & (used < len(matrix))]] = True
        summary = summarize(matrix, training)
        by_dimension = Scaler.load(paths.SCALER).mode == "dimension"
        scaling = json.loads(paths.SCALING_REPORT.read_text(encoding="utf-8"))
        facts = [
            *row_facts(
                pq.read_metadata(paths.SEQUENCES).num_rows,
                EmbeddingStore.open(paths.EMBEDDINGS).rows,
                len(matrix),
            ),
            *pair_facts(row1, row2, label, names[codes], files, len(matrix)),
            clipped_fact(scaling["clipped_share"], params.checks.max_clipped_share),
            *([] if by_dimension else end_facts(summary)),
            *disjoint_facts(params.split, files),
        ]
        outcome = check(summary, [*RULES, *(REACHES_ENDS if by_dimension else ())], facts)
        write_json(
            paths.VALIDATION_REPORT, {"success": not outcome.failures, "expectations": outcome.expectations}
        )
        with atomic_file(PAGE) as temporary:
            temporary.write_text(outcome.page, encoding="utf-8")
        run.log_metrics({"expectations": len(outcome.expectations), "failed": len(outcome.failures)})
        run.log_file(paths.VALIDATION_REPORT)
        run.log_file(PAGE)
        if outcome.failures:
            sentences = "\n".join(f"  {failure}" for failure in outcome.failures)
            raise DnapairError(
                f"{len(outcome.failures)} of {len(outcome.expectations)} checks of the scaled data failed:\n"
                f"{sentences}\nThe report with all of them: {PAGE}"
            )


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
    table = pq.read_table(paths.PAIRS, columns=[column], read_dictionary=[column])
    values = table[column].combine_chunks()
    return values.dictionary.to_numpy(zero_copy_only=False), values.indices.to_numpy()


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
                groups[split].append(names[np.unique(_inside(rows.row, codes))])
        facts.append(disjoint_fact("group", {split: np.concatenate(own) for split, own in groups.items()}))
    sequences = {split: np.unique([rows.seq1, rows.seq2]) for split, rows in files.items()}
    return [*facts, disjoint_fact("sequence", sequences)]


def _inside(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    kept: np.ndarray = values[numbers[(numbers >= 0) & (numbers < len(values))]]
    return kept
