"""Interactions on disk, in shards, the layout of their rows, and the pairs that were drawn for training."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dnapair.errors import DnapairError
from dnapair.interactions.layout import Layout, code_sha256
from dnapair.storage.files import atomic_file
from dnapair.storage.numeric_columns import read_numbers
from dnapair.storage.shards import Shard, ShardStore, Values, write_shards

SHARD_PAIRS = 1024
NEGATIVES = "negatives.parquet"


class InteractionStore(ShardStore):
    """The interactions of all pairs, in the order of pairs.parquet, and of the drawn ones behind them.

    Parameters
    ----------
    folder
        Where the shards are.
    manifest
        Content of its manifest.json.

    Attributes
    ----------
    pairs : int
        How many rows are of pairs.parquet.
    """

    stage = "interact"

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        super().__init__(folder, manifest)
        self.layout = Layout.from_json(manifest["made_by"]["layout"])
        self.pairs = int(manifest["pairs"])

    def negatives(self) -> NDArray[np.int64]:
        """Return the two sequences of each drawn pair, shape=(rows - pairs, 2).

        Raises
        ------
        DnapairError
            If they are not those that the rows are of.
        """
        path = self.folder / NEGATIVES
        negatives = np.stack(read_numbers(path, ["row1", "row2"]), axis=1)
        if _hash(negatives) != self.manifest["made_by"]["negatives_sha256"]:
            raise DnapairError(
                f"{path} holds other pairs than those that were drawn. Make it again: "
                "dvc repro --force --single-item interact (whole shards are kept)"
            )
        return negatives


def write_store(
    folder: Path,
    layout: Layout,
    made_by: dict[str, Any],
    pairs: int,
    negatives: NDArray[np.int64],
    produce: Callable[[Sequence[Shard]], Values],
) -> InteractionStore:
    """Fill a store, going on where an earlier attempt with the same layout and ``made_by`` ended.

    Parameters
    ----------
    folder, produce
        As for :func:`dnapair.storage.shards.write_shards`.
    layout
        Of the rows.
    made_by
        What else the values depend on.
    pairs
        Of pairs.parquet.
    negatives : np.ndarray, shape=(m, 2)
        The sequences of the pairs that were drawn: the last m rows are theirs.

    Returns
    -------
    InteractionStore
        The finished store.

    Raises
    ------
    DnapairError
        If another process is at work on the same folder.
    """
    key = {
        **made_by,
        "negatives_sha256": _hash(negatives),
        "layout": layout._asdict(),
        "code_sha256": code_sha256(),
    }
    rows = pairs + len(negatives)
    write_shards(folder, key, rows, SHARD_PAIRS, produce, _round, "interact", "pair", {"pairs": pairs})
    with atomic_file(folder / NEGATIVES) as temporary:
        pq.write_table(pa.table(dict(zip(("row1", "row2"), negatives.T, strict=True))), temporary)
    return InteractionStore.open(folder)


def _hash(negatives: NDArray[np.int64]) -> str:
    return hashlib.sha256(negatives.astype("<i8").tobytes()).hexdigest()


def _round(values: NDArray[np.float32], name: Callable[[int], str]) -> NDArray[np.float16]:
    """Round to float16: logarithms and shares are well within its range."""
    return values.astype(np.float16)
