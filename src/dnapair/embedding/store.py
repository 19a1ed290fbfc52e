"""Embeddings on disk, in shards: which encoder made them, and what else they depend on."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dnapair.embedding.rounding import round_to_half
from dnapair.errors import DnapairError
from dnapair.storage.shards import MANIFEST, Shard, ShardStore, Values, write_shards

_CODE = (
    "batching.py",
    "bert.py",
    "cpu_bert.py",
    "embedder.py",
    "encoder.py",
    "gpu_bert.py",
    "hub.py",
    "kmers.py",
    "pooling.py",
    "rounding.py",
)


class EmbeddingStore(ShardStore):
    """The embeddings of all unique sequences.

    Parameters
    ----------
    folder
        Where the shards are.
    manifest
        Content of its manifest.json.
    """

    stage = "embed"

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        super().__init__(folder, manifest)
        self.encoder = str(manifest["made_by"]["encoder"])
        self.trained = bool(manifest["made_by"]["trained"])

    def tokens(self) -> tuple[int, int]:
        """Return the k of the encoder's k-mers, and the most of them in one window.

        Raises
        ------
        DnapairError
            If the manifest does not say: an earlier dnapair wrote it.
        """
        k, window = self.manifest["made_by"].get("k"), self.manifest.get("window")
        if not (k and window):
            raise DnapairError(
                f"{self.folder / MANIFEST} does not tell the encoder's k-mers and windows. Have it "
                "written anew: dvc repro --force --single-item embed (whole shards are kept)"
            )
        return int(k), int(window)


def write_store(
    folder: Path,
    made_by: dict[str, Any],
    rows: int,
    shard_rows: int,
    produce: Callable[[Sequence[Shard]], Values],
    window: int | None = None,
) -> EmbeddingStore:
    """Fill a store, going on where an earlier attempt with the same ``made_by`` ended.

    Parameters
    ----------
    folder, rows, shard_rows, produce
        As for :func:`dnapair.storage.shards.write_shards`.
    made_by
        All that the values depend on, and the keys ``encoder`` and ``trained``.
    window
        The most k-mers that the encoder got at once, for the manifest: it follows from the encoder, so shards
        are kept whatever it is.

    Returns
    -------
    EmbeddingStore
        The finished store.

    Raises
    ------
    DnapairError
        If another process is at work on the same folder, or a value is beyond float16's range.
    """
    key = made_by | {"shard_rows": shard_rows, "code_sha256": code_sha256()}
    write_shards(
        folder, key, rows, shard_rows, produce, round_to_half, "embed", "sequence", {"window": window}
    )
    return EmbeddingStore.open(folder)


def code_sha256() -> str:
    """Return the SHA-256 of the code that embeddings depend on."""
    room = Path(__file__).parent
    return hashlib.sha256(b"".join((room / name).read_bytes() for name in _CODE)).hexdigest()
