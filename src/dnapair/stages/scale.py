"""Stage `scale`: the embeddings to [-1, 1], and the rows and labels of each split."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from dnapair import tracking
from dnapair.embedding.scaling import Shards, fit, write_scaled
from dnapair.embedding.store import EmbeddingStore
from dnapair.errors import DnapairError
from dnapair.interactions.scaling import InteractionScaling
from dnapair.interactions.store import InteractionStore
from dnapair.params import flatten, load_params
from dnapair.reporting.figures import describe_encoder, plot_scaling
from dnapair.stages import paths
from dnapair.storage.files import SUMS, atomic_folder, sha256, write_json, write_sums
from dnapair.storage.numeric_columns import open_parquet
from dnapair.storage.shards import ShardStore

SCHEMA = pa.schema([("row", pa.int64()), ("seq1", pa.int64()), ("seq2", pa.int64()), ("label", pa.int8())])
"""Of a split's pairs in artifacts/normalized."""


def run() -> None:
    """Scale artifacts/embeddings into artifacts/normalized."""
    params = load_params()
    with tracking.stage_run("scale", flatten(params.scale, "scale"), paths.IDENTITIES) as run:
        paths.check(paths.DATASET)
        store = EmbeddingStore.open(paths.EMBEDDINGS)
        training = rows_used("train", store.rows)
        fitted = fit(shown(store, "fit scaling"), store.dimensions, training, params.scale.mode)
        with atomic_folder(paths.NORMALIZED) as folder:
            scaled = write_scaled(fitted, shown(store, "scale"), training, folder / paths.SCALED.name)
            fitted.scaler.save(folder / paths.SCALER.name)
            interactions = scale_interactions(folder)
            write_splits(folder)
            write_negatives(folder)
            write_sums(folder)
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
            "interactions": interactions,
            "files": {
                path.name: sha256(path) for path in sorted(paths.NORMALIZED.iterdir()) if path.name != SUMS
            },
        }
        write_json(paths.SCALING_REPORT, report)
        plot = paths.SCALING_REPORT.with_suffix(".png")
        plot_scaling(scaled.before, scaled.after, describe_encoder(store.encoder, store.trained), plot)
        run.log_metrics({"clipped_share": share, "constant_dimensions": len(constant), "rows": store.rows})
        run.log_metrics({f"interactions/{name}": value for name, value in interactions.items()})
        run.log_file(paths.SCALING_REPORT)
        run.log_file(plot, "plots")
        run.describe(
            f"{store.rows:,} embeddings scaled to [-1, 1] by the range of train; {share:.2%} of the other "
            f"sequences' values lay outside and were clipped. {len(constant)} of {store.dimensions} "
            f"dimensions are constant. Of a pair's interactions {interactions['dimensions']} numbers vary in "
            f"train; {interactions['clipped_share']:.2%} of the other pairs' values were clipped."
        )


def scale_interactions(folder: Path) -> dict[str, Any]:
    """Scale artifacts/interactions by the train pairs alone; return what became of them."""
    store = InteractionStore.open(paths.INTERACTIONS)
    training = np.concatenate([pc.equal(batch["split"], "train").to_numpy(False) for batch in pair_batches()])
    if training.size != store.pairs:
        raise DnapairError(
            f"{paths.INTERACTIONS} has {store.pairs} pairs, but {paths.PAIRS} {training.size}: they are from "
            "different data. Run the whole pipeline: dvc repro"
        )
    drawn = np.arange(store.rows) >= store.pairs
    training = np.concatenate([training, np.zeros(store.rows - store.pairs, bool)])
    found = fit(shown(store, "fit scaling"), store.dimensions, training, "dimension")
    scaling = InteractionScaling.of(store.layout, found.scaler)

    def kept() -> Iterable[tuple[int, np.ndarray]]:
        return ((first, values[:, scaling.columns]) for first, values in shown(store, "scale")())

    # drawn pairs are trained on, but their ranges are no measure of others'
    used = training | drawn
    scaled = write_scaled(
        found._replace(scaler=scaling.scaler), kept, used, folder / paths.SCALED_INTERACTIONS.name
    )
    scaling.save(folder)
    return {
        "pairs": store.pairs,
        "random_negatives": store.rows - store.pairs,
        "dimensions": scaling.columns.size,
        "constant_dimensions": store.dimensions - scaling.columns.size,
        "clipped_values": scaled.clipped,
        "clipped_of": scaled.clippable,
        "clipped_share": scaled.clipped / max(scaled.clippable, 1),
    }


def pair_batches() -> Iterator[pa.RecordBatch]:
    """Read the columns of artifacts/dataset/pairs.parquet that scaling needs, some pairs at a time."""
    columns = ["row1", "row2", "label", "split"]
    with open_parquet(paths.PAIRS) as file:
        yield from file.iter_batches(columns=columns)


def rows_used(split: str, rows: int) -> np.ndarray:
    """Mark the sequences that occur in the pairs of a split, shape=(rows,), bool."""
    used = np.zeros(rows, bool)
    for batch in pair_batches():
        inside = batch.filter(pc.equal(batch["split"], split))
        for column in ("row1", "row2"):
            numbers = inside[column].to_numpy()
            if numbers.size and numbers.max() >= rows:
                raise DnapairError(
                    f"{paths.PAIRS} names sequence {numbers.max()}, but {paths.EMBEDDINGS} holds {rows} "
                    "only: they are from different data. Run the whole pipeline: dvc repro"
                )
            used[numbers] = True
    return used


def shown(store: ShardStore, task: str) -> Shards:
    """Give a store's shards behind a progress bar."""

    def shards() -> Iterable[tuple[int, np.ndarray]]:
        total = len(store.manifest["shards"])
        return tqdm(store.shards(), desc=task, total=total, unit="shard", dynamic_ncols=True, disable=None)

    return shards


def write_splits(folder: Path) -> None:
    """Write the pair's row, the two sequences' rows and the label of each split's pairs."""
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(pq.ParquetWriter(folder / paths.split_file(split).name, SCHEMA))
            for split in ("train", "val", "test")
        }
        first = 0
        for batch in pair_batches():
            row = pa.array(np.arange(first, first + batch.num_rows))
            pairs = pa.table([row, batch["row1"], batch["row2"], batch["label"]], schema=SCHEMA)
            for split, writer in writers.items():
                writer.write_table(pairs.filter(pc.equal(batch["split"], split)))
            first += batch.num_rows


def write_negatives(folder: Path) -> None:
    """Write the same of the pairs that were drawn for training."""
    store = InteractionStore.open(paths.INTERACTIONS)
    rows = np.arange(store.pairs, store.rows)
    columns = [rows, *store.negatives().T, np.zeros(rows.size, np.int8)]
    drawn = pa.table([pa.array(column) for column in columns], schema=SCHEMA)
    pq.write_table(drawn, folder / paths.NEGATIVES.name)
