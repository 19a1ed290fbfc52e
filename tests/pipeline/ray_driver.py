"""Fills a store with an embedder that is slow on purpose, and logs which process began which shard.

Arguments: the store, the engine, seconds of delay in each shard, the number of shards, the cluster's address.
What is defined here travels to Ray's workers by value, because this is the main module; without PyTorch,
they start at once.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from dnapair.embedding.ray_engine import embed_with_ray
from dnapair.embedding.store import write_store

SHARD_ROWS = 8


class Letters:
    """Counts letters, after a while."""

    def __init__(self, log: Path, delay: float) -> None:
        self.log, self.delay = log, delay

    def embed(self, sequences: list[str]) -> np.ndarray:
        with self.log.open("a") as file:
            file.write(f"{os.getpid()} {sequences[0]}\n")
        time.sleep(self.delay)
        return np.array([[sequence.count(letter) for letter in "ACGT"] for sequence in sequences], np.float32)


def embed_here(shards, read, make_embedder):
    for shard in shards:
        yield shard.number, make_embedder().embed(read(shard.start, shard.stop))


def main(folder: Path, engine: str, delay: float, shards: int, address: str | None) -> None:
    rows = shards * SHARD_ROWS - 3
    letters = np.random.default_rng(1).choice(list("ACGT"), (rows, 80))
    sequences = ["".join(row) for row in letters]
    ray = partial(embed_with_ray, address=address, actors=2, num_cpus=0.5, num_gpus=0)
    write_store(
        folder,
        {"encoder": "letters", "trained": False},
        rows,
        SHARD_ROWS,
        partial(
            ray if engine == "ray" else embed_here,
            read=lambda start, stop: sequences[start:stop],
            make_embedder=partial(Letters, folder.with_suffix(".log"), delay),
        ),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), (sys.argv[5:] or [None])[0])
