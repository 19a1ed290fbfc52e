"""`dnapair predict`: a file of pairs through a registered model, chunk by chunk."""

import csv
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from dnapair.columns import find_sequences, has_names
from dnapair.errors import DnapairError
from dnapair.files import atomic_file
from dnapair.tables import Table, open_table

SCORES = ("probability", "label")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def predict_file(file: Path, output: Path, model: str, chunk: int) -> None:
    """Score every pair of a table, in constant memory.

    Parameters
    ----------
    file
        CSV, TSV or Parquet, plain or gz, with two columns of raw DNA (see :mod:`dnapair.columns`).
    output
        Where the table goes: its own columns, then ``probability`` and ``label``; .csv or .tsv. Columns
        of the file that are called so already become ``input_probability`` and ``input_label``.
    model
        Address of a dnapair model that MLflow knows, such as ``models:/dnapair@champion``.
    chunk
        Pairs scored at a time.

    Raises
    ------
    DnapairError
        If the file, a pair in it, the output's name or the model is not right; nothing is written then.
    """
    if output.suffix not in _DELIMITERS:
        raise DnapairError(f"--output {output}: the name must end in .csv or .tsv.")
    table = open_table(file, has_names)
    first, second = find_sequences(table)
    # after the first look at the table: a wrong one is said without waiting for PyTorch and MLflow
    from dnapair.registry import load_scorer

    scorer = load_scorer(model)
    names = [f"input_{name}" if name in SCORES else name for name in table.names]
    with atomic_file(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as written:
        writer = csv.writer(written, delimiter=_DELIMITERS[output.suffix], lineterminator="\n")
        writer.writerow([*names, *SCORES])
        done = 0
        with tqdm(desc="predict", unit=" pairs", dynamic_ncols=True, disable=None) as bar:
            for columns in _chunks(table, chunk):
                scores = scorer.score(columns[first], columns[second], first_row=done + 1)
                rows = zip(*columns.values(), scores.probability.tolist(), scores.label.tolist(), strict=True)
                writer.writerows(rows)
                done += len(scores.label)
                bar.update(len(scores.label))
    print(f"{output}: {done} pairs scored by {model}")


def _chunks(table: Table, size: int) -> Iterator[dict[str, list[str]]]:
    for batch in table.batches():
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size).to_pydict()
