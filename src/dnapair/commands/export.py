"""`dnapair export`: the scaled splits in the original scripts' files; or a model, to take away."""

import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from dnapair.data.splits import SPLITS
from dnapair.errors import DnapairError
from dnapair.stages import paths
from dnapair.storage.files import atomic_file, atomic_folder, check_place
from dnapair.storage.matrix import Matrix, MatrixFile, write_header
from dnapair.storage.numeric_columns import read_table

_CHUNK_ROWS = 8192


def export_model(model: str, output: Path) -> None:
    """Write a model with all that it needs, as MLflow has it.

    Parameters
    ----------
    model
        Address of a dnapair model that MLflow knows.
    output
        A folder that is not there, or empty.

    Raises
    ------
    DnapairError
        If the folder holds something, or the model can't be had.
    """
    from dnapair.registry.loading import copy_model

    check_place(output, "--output", folder=True)
    if output.is_dir() and any(output.iterdir()):
        raise DnapairError(f"--output {output} holds something already. Name a new folder.")
    with atomic_folder(output) as folder:
        copy_model(model, folder)
    print(
        f"{output}: {model}. Score with it where dnapair is installed (dnapair predict --model {output}), or "
        f"where {output / 'requirements.txt'} is: mlflow models predict, mlflow models serve."
    )


def run(output: Path) -> None:
    """Write train.npz, val.npz and test.npz with the arrays ``seq1``, ``seq2`` and ``labels``.

    Parameters
    ----------
    output
        Folder for the three files.

    Raises
    ------
    DnapairError
        If the pipeline has not run as far as `scale`.
    """
    if not paths.SCALED.is_file():
        raise DnapairError(f"{paths.SCALED} is missing. Make it first: dvc repro scale")
    for split in SPLITS:
        check_place(output / f"{split}.npz", "--output")
    paths.check(paths.NORMALIZED)
    matrix = MatrixFile(paths.SCALED)
    for split in SPLITS:
        rows = read_table(paths.split_file(split))
        with atomic_file(output / f"{split}.npz") as temporary:
            _write_npz(temporary, split, matrix, rows)
        print(f"{output / f'{split}.npz'}: {rows.num_rows} pairs of {matrix.shape[1]} dimensions")


def _write_npz(path: Path, split: str, matrix: Matrix, rows: pa.Table) -> None:
    # np.savez would hold each array whole
    with zipfile.ZipFile(path, "w") as archive:
        for side in ("seq1", "seq2"):
            with archive.open(f"{side}.npy", "w", force_zip64=True) as member:
                write_header(member, (rows.num_rows, matrix.shape[1]), np.float32)
                for start in tqdm(
                    range(0, rows.num_rows, _CHUNK_ROWS),
                    desc=f"{split} {side}",
                    dynamic_ncols=True,
                    disable=None,
                ):
                    chunk = matrix[rows[side][start : start + _CHUNK_ROWS].to_numpy()]
                    member.write(chunk.astype(np.float32).tobytes())
        with archive.open("labels.npy", "w") as member:
            np.lib.format.write_array(member, rows["label"].to_numpy(), allow_pickle=False)
