"""Stage `scale`: the embeddings to [-1, 1], and the rows and labels of each split."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from dnapair import tracking
from dnapair.embedding.store import EmbeddingStore
from dnapair.errors import DnapairError
from dnapair.figures import describe_encoder, plot_scaling
from dnapair.files import atomic_folder, sha256, write_json
from dnapair.params import flatten, load_params
from dnapair.scaling import Shards, fit, write_scaled
from dnapair.stages import paths


def run() -> None:
    """Scale artifacts/embeddings into artifacts/normalized."""
    params = load_params()
    with tracking.stage_run("scale", flatten(params.scale, "scale"), paths.IDENTITIES) as run:
        store = EmbeddingStore.open(paths.EMBEDDINGS)
        pairs = pq.read_table(paths.PAIRS, columns=["row1", "row2", "label", "split"])
        training = rows_used(pairs.filter(pc.equal(pairs["split"], "train")), store.rows)
        fitted = fit(shown(store, "fit scaling"), store.dimensions, training, params.scale.mode)
        with atomic_folder(paths.NORMALIZED) as folder:
            scaled = write_scaled(fitted, shown(store, "scale"), training, folder / paths.SCALED.name)
            fitted.scaler.save(folder / paths.SCALER.name)
            write_splits(pairs, folder)
        share = scaled.clipped / max(scaled.clippable, 1)
        constant = fitted.scaler.constant.tolist()
        report = {
            "mode": params.scale.mode,
            "encoder": store.encoder,
            "trained": store.trained,
            "rows": store.rows,
            "training_rows": int(training.sum()),
            "dimensions": store.dimensions,
            "range_before": [fitted.low, fitted.high],
            "clipped_values": scaled.clipped,
            "clipped_of": scaled.clippable,
            "clipped_share": share,
            "constant_dimensions": constant,
            "files": {path.name: sha256(path) for path in sorted(paths.NORMALIZED.iterdir())},
        }
        write_json(paths.SCALING_REPORT, report)
        plot = paths.SCALING_REPORT.with_suffix(".png")
        plot_scaling(scaled.before, scaled.after, describe_encoder(store.encoder, store.trained), plot)
        run.log_metrics({"clipped_share": share, "constant_dimensions": len(constant), "rows": store.rows})
        run.log_file(paths.SCALING_REPORT)
        run.log_file(plot, "plots")


def rows_used(pairs: pa.Table, rows: int) -> np.ndarray:
    """Mark the sequences that occur in these pairs, shape=(rows,), bool."""
    used = np.zeros(rows, bool)
    for column in ("row1", "row2"):
        numbers = pairs[column].to_numpy()
        if numbers.size and numbers.max() >= rows:
            raise DnapairError(
                f"{paths.PAIRS} names sequence {numbers.max()}, but {paths.EMBEDDINGS} holds {rows} only: "
                "they are from different data. Run the whole pipeline: dvc repro"
            )
        used[numbers] = True
    return used


def shown(store: EmbeddingStore, task: str) -> Shards:
    """Give a store's shards behind a progress bar."""

    def shards() -> Iterable[tuple[int, np.ndarray]]:
        total = len(store.manifest["shards"])
        return tqdm(store.shards(), desc=task, total=total, unit="shard", dynamic_ncols=True, disable=None)

    return shards


def write_splits(pairs: pa.Table, folder: Path) -> None:
    """Write the pair's row, the two sequences' rows and the label of each split's pairs."""
    table = pa.table(
        {
            "row": pa.array(np.arange(len(pairs))),
            "seq1": pairs["row1"],
            "seq2": pairs["row2"],
            "label": pairs["label"],
        }
    )
    for split in ("train", "val", "test"):
        pq.write_table(table.filter(pc.equal(pairs["split"], split)), folder / paths.split_file(split).name)
