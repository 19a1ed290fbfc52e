"""Stage `interact`: how the two sequences of each pair meet, base by base."""

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from dnapair import tracking
from dnapair.interactions.layout import Layout, fit_layout, sides_differ
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
    logged = flatten(params.interactions, "interactions") | {"network.symmetric": params.network.symmetric}
    with tracking.stage_run("interact", logged, paths.IDENTITIES) as run:
        paths.check(paths.DATASET)
        rows1, rows2 = read_numbers(paths.PAIRS, ["row1", "row2"])
        # beside the output: a system's temporary files may lie in memory
        sequences = Texts(paths.DATASET.parent)
        for sequence in SequenceFile(paths.SEQUENCES):
            sequences.append(sequence)
        layout = choose_layout(params, rows1, rows2, sequences.lengths())

        def describe(shard: Shard) -> tuple[int, NDArray[np.float32]]:
            pairs = np.stack([rows1, rows2])[:, shard.start : shard.stop]
            used, places = np.unique(pairs, return_inverse=True)
            first, second = places.reshape(pairs.shape)
            return shard.number, describe_pairs(
                [sequences[row] for row in used.tolist()], first, second, layout
            )

        def produce(shards: Sequence[Shard]) -> Values:
            return map_ahead(describe, shards, cores())

        made_by = {"pairs_sha256": sha256(paths.PAIRS), "sequences_sha256": sha256(paths.SEQUENCES)}
        store = write_store(paths.INTERACTIONS, layout, made_by, rows1.size, produce)
        run.log_metrics({"pairs": store.rows, "dimensions": store.dimensions})
        run.log_file(paths.INTERACTIONS / "manifest.json")
        run.describe(
            f"{store.rows:,} pairs, {store.dimensions} numbers each. "
            + (
                "Both orders of a pair have one row."
                if layout.symmetric
                else "The order of a pair is kept: its sides are of two kinds."
            )
        )


def choose_layout(
    params: Params, rows1: NDArray[np.int64], rows2: NDArray[np.int64], lengths: NDArray[np.int64]
) -> Layout:
    """Fit the rows' layout to the train pairs, and settle whether the order of a pair matters."""
    split = read_table(paths.PAIRS, ["split"], texts=["split"])["split"]
    training = pc.equal(split, "train").to_numpy()
    first, second = rows1[training], rows2[training]
    symmetric = params.network.symmetric
    if symmetric == "auto":
        symmetric = not sides_differ(first, second, lengths)
    return fit_layout(lengths[first], lengths[second], params.interactions.bins, symmetric)
