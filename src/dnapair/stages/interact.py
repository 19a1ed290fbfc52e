"""Stage `interact`: how the two sequences of each pair meet, base by base; also of drawn train pairs."""

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from dnapair import tracking
from dnapair.interactions.layout import Layout, fit_layout, sides_differ
from dnapair.interactions.negatives import draw_negatives, settle_negatives
from dnapair.interactions.rows import describe_pairs
from dnapair.interactions.store import write_store
from dnapair.machine.ahead import map_ahead
from dnapair.machine.processor import cores
from dnapair.params import Params, flatten, load_params
from dnapair.stages import paths
from dnapair.storage.files import sha256
from dnapair.storage.numeric_columns import read_numbers, read_table
from dnapair.storage.sequence_file import SequenceFile
from dnapair.storage.shards import Shard, Values
from dnapair.storage.string_index import Texts


def run() -> None:
    """Describe the pairs of artifacts/dataset in artifacts/interactions."""
    params = load_params()
    logged = flatten(params.interactions, "interactions") | {
        "network.symmetric": params.network.symmetric,
        "train.random_negatives": params.train.random_negatives,
    }
    with tracking.stage_run("interact", logged, paths.IDENTITIES) as run:
        paths.check(paths.DATASET)
        rows1, rows2, labels = read_numbers(paths.PAIRS, ["row1", "row2", "label"])
        split = read_table(paths.PAIRS, ["split"], texts=["split"])["split"]
        training = pc.equal(split, "train").to_numpy()
        # beside the output: a system's temporary files may lie in memory
        sequences = Texts(paths.DATASET.parent)
        for sequence in SequenceFile(paths.SEQUENCES):
            sequences.append(sequence)
        layout = choose_layout(params, rows1[training], rows2[training], sequences.lengths())
        each = settle_negatives(params.train.random_negatives, labels[training], layout.symmetric)
        negatives = draw_negatives(rows1[training], rows2[training], labels[training], each)
        pairs = np.concatenate([np.stack([rows1, rows2]), negatives.T], axis=1)

        def describe(shard: Shard) -> tuple[int, NDArray[np.float32]]:
            own = pairs[:, shard.start : shard.stop]
            used, places = np.unique(own, return_inverse=True)
            first, second = places.reshape(own.shape)
            return shard.number, describe_pairs(
                [sequences[row] for row in used.tolist()], first, second, layout
            )

        def produce(shards: Sequence[Shard]) -> Values:
            return map_ahead(describe, shards, cores())

        made_by = {"pairs_sha256": sha256(paths.PAIRS), "sequences_sha256": sha256(paths.SEQUENCES)}
        store = write_store(paths.INTERACTIONS, layout, made_by, rows1.size, negatives, produce)
        run.log_metrics(
            {"pairs": store.pairs, "random_negatives": len(negatives), "dimensions": store.dimensions}
        )
        run.log_file(paths.INTERACTIONS / "manifest.json")
        run.describe(
            f"{store.pairs:,} pairs, {store.dimensions} numbers each. "
            + (
                "Both orders of a pair have one row."
                if layout.symmetric
                else "The order of a pair is kept: its sides are of two kinds."
            )
            + (
                f" {len(negatives):,} unrelated pairs were drawn besides, of the sequences of related ones."
                if len(negatives)
                else ""
            )
        )


def choose_layout(
    params: Params, rows1: NDArray[np.int64], rows2: NDArray[np.int64], lengths: NDArray[np.int64]
) -> Layout:
    """Fit the rows' layout to the train pairs, and settle whether the order of a pair matters."""
    symmetric = params.network.symmetric
    if symmetric == "auto":
        symmetric = not sides_differ(rows1, rows2, lengths)
    return fit_layout(lengths[rows1], lengths[rows2], params.interactions.bins, symmetric)
