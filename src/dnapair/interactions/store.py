"""Interactions on disk, in shards, and the layout of their rows."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnapair.interactions.layout import Layout, code_sha256
from dnapair.storage.shards import Shard, ShardStore, Values, write_shards

SHARD_PAIRS = 1024


class InteractionStore(ShardStore):
    """The interactions of all pairs, in the order of pairs.parquet.

    Parameters
    ----------
    folder
        Where the shards are.
    manifest
        Content of its manifest.json.
    """

    stage = "interact"

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        super().__init__(folder, manifest)
        self.layout = Layout.from_json(manifest["made_by"]["layout"])


def write_store(
    folder: Path,
    layout: Layout,
    made_by: dict[str, Any],
    pairs: int,
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
        Number of rows.

    Returns
    -------
    InteractionStore
        The finished store.

    Raises
    ------
    DnapairError
        If another process is at work on the same folder.
    """
    key = {**made_by, "layout": layout._asdict(), "code_sha256": code_sha256()}
    write_shards(folder, key, pairs, SHARD_PAIRS, produce, _round, "interact", "pair", {})
    return InteractionStore.open(folder)


def _round(values: NDArray[np.float32], name: Callable[[int], str]) -> NDArray[np.float16]:
    """Round to float16: logarithms and shares are well within its range."""
    return values.astype(np.float16)
