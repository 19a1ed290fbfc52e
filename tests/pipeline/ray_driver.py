"""Fills a store with a tiny encoder that is slow on purpose, and logs which process began which shard.

Arguments: the store, the engine, seconds of delay in each shard, the number of shards. What is defined
here travels to Ray's workers by value, because this is the main module.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from dnapair.embedding.embedder import Embedder
from dnapair.embedding.encoder import build_untrained
from dnapair.embedding.engines import embed_here
from dnapair.embedding.ray_engine import embed_with_ray
from dnapair.embedding.store import write_store

SHARD_ROWS = 8


class SlowEmbedder(Embedder):
    """Says which process embeds which sequences, then takes its time."""

    def __init__(self, log: Path, delay: float, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.log, self.delay = log, delay

    def embed(self, sequences):
        with self.log.open("a") as file:
            file.write(f"{os.getpid()} {sequences[0]}\n")
        time.sleep(self.delay)
        return super().embed(sequences)


def main(folder: Path, engine: str, delay: float, shards: int) -> None:
    rows = shards * SHARD_ROWS - 3
    letters = np.random.default_rng(1).choice(list("ACGT"), (rows, 80))
    sequences = ["".join(row) for row in letters]
    encoder = build_untrained(k=4, layers=1, hidden=16, heads=2, seed=1)
    make_embedder = partial(
        SlowEmbedder, folder.with_suffix(".log"), delay, encoder, "mean", "both", True, 4096, "cpu"
    )
    ray = partial(embed_with_ray, address=None, actors=2, num_cpus=0.5, num_gpus=0)
    write_store(
        folder,
        {"encoder": encoder.name, "trained": encoder.trained},
        rows,
        SHARD_ROWS,
        partial(
            ray if engine == "ray" else embed_here,
            read=lambda start, stop: sequences[start:stop],
            make_embedder=make_embedder,
        ),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
