"""Options that several verbs have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Framework = Literal["torch", "tensorflow"]
Model = Annotated[
    str | None,
    typer.Option(
        envvar="DNAPAIR_MODEL",
        help="Any MLflow model address; by default the champion by the name and alias in params.yaml "
        "(register), else models:/dnapair@champion.",
    ),
]
TABLE = typer.Argument(help="Table with two columns of DNA: CSV, TSV, Parquet; packed too; `-` or a pipe.")
PairNames = Annotated[
    str | None,
    typer.Option(
        help="The two columns, with a comma between; by default called as in training, or seq1 and seq2."
    ),
]
Sequences = Annotated[
    Path | None, typer.Option(help="FASTA (a file or a folder) of the sequences whose ids the table has.")
]
Genome = Annotated[
    Path | None,
    typer.Option(help="FASTA or 2bit, where the table has places: BEDPE, or columns of chr1:100-200(+)."),
]
Width = Annotated[
    int | None,
    typer.Option(min=1, help="Bases round the centre of a place; by default as in training (data.width)."),
]


def champion() -> str:
    """Return the address of the model that is meant where none is given."""
    from dnapair.params import champion_address

    return champion_address()
