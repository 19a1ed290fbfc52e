"""Fills a store with an embedder that stops where it is told to, and logs which process began which shard.

Arguments: the store, the engine, how many shards go freely, the number of shards, and, where it is not this
machine alone, the cluster's address and the CPUs of each of the two workers.
A later one is not done before there is a file of the store's name and `.go`.
What is defined here travels to Ray's workers by value, because this is the main module; without PyTorch,
they start at once.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from ray import shutdown

from dnapair.embedding.ray_engine import embed_with_ray
from dnapair.embedding.store import write_store

SHARD_ROWS = 8


class Letters:
    """Counts letters."""

    def __init__(self, log: Path, free: int) -> None:
        self.log, self.free = log, free

    def embed(self, sequences: list[str]) -> np.ndarray:
        with self.log.open("a") as file:
            file.write(f"{os.getpid()} {sequences[0]}\n")
        if self.free < 0:
            raise ValueError("no shard is free")
        while len(self.log.read_text().splitlines()) > self.free and not self.log.with_suffix(".go").exists():
            time.sleep(0.01)
        return np.array([[sequence.count(letter) for letter in "ACGT"] for sequence in sequences], np.float32)


def embed_here(shards, read, make_embedder):
    for shard in shards:
        yield shard.number, make_embedder().embed(read(shard.start, shard.stop))


def start_ray_and(fill: Callable[[], object]) -> None:
    """Fill a store; Ray gives itself 30 seconds to start, and no setting changes that: it may try again."""
    while True:
        try:
            fill()
            return
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            shutdown()


def main(folder: Path, engine: str, free: int, shards: int, address: str | None, cpus: float) -> None:
    rows = shards * SHARD_ROWS - 3
    letters = np.random.default_rng(1).choice(list("ACGT"), (rows, 80))
    sequences = ["".join(row) for row in letters]
    ray = partial(embed_with_ray, address=address, actors=2, num_cpus=cpus, num_gpus=0)
    fill = partial(
        write_store,
        folder,
        {"encoder": "letters", "trained": False},
        rows,
        SHARD_ROWS,
        partial(
            ray if engine == "ray" else embed_here,
            read=lambda start, stop: sequences[start:stop],
            make_embedder=partial(Letters, folder.with_suffix(".log"), free),
        ),
    )
    start_ray_and(fill)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(Path(given[1]), given[2], int(given[3]), int(given[4]), given.get(5), float(given.get(6, "0.5")))
