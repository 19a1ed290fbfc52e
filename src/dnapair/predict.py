"""`dnapair predict`: a file of pairs through a registered model, chunk by chunk."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from tqdm import tqdm

from dnapair.errors import DnapairError
from dnapair.files import atomic_file


def predict_file(file: Path, output: Path, model: str, chunk: int) -> None:
    """Score every pair of a table, in constant memory.

    Parameters
    ----------
    file
        Table with two columns of raw DNA, see :func:`dnapair.pairs.read_chunks`.
    output
        Where the table goes, with its own columns and ``probability`` and ``label``; .csv or .tsv.
    model
        An address that MLflow knows, such as ``models:/dnapair@champion``.
    chunk
        Pairs scored at a time.

    Raises
    ------
    DnapairError
        If the file, a pair in it, the output's name or the model is not right; nothing is written then.
    """
