"""Rows of numbers on disk: shards that are whole or absent, and a manifest of all that made them."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.errors import DnapairError
from dnapair.storage.files import atomic_file, lock, sha256, write_json
from dnapair.storage.matrix import read_header

MANIFEST = "manifest.json"
_JOURNAL = "journal.jsonl"


class Shard(NamedTuple):
    """The part of a store that is made, kept and lost as one.

    Attributes
    ----------
    number : int
        Its place in the store, from 0.
    start, stop : int
        Its rows.
    """

    number: int
    start: int
    stop: int

    @property
    def file(self) -> str:
        """Its name in the store's folder."""
        return f"shard-{self.number:05d}.npy"


Values = Generator[tuple[int, NDArray[np.float32]]]
"""Numbers of shards, in any order, each with its values, shape=(stop - start, dimensions)."""
Round = Callable[[NDArray[np.float32], Callable[[int], str]], NDArray[np.float16]]
"""Values to float16; the second argument names a row for a message."""


class ShardStore:
    """A finished matrix in shards, read shard by shard.

    Parameters
    ----------
    folder
        Where the shards are.
    manifest
        Content of its manifest.json.
    """

    stage: ClassVar[str]
    """The stage of dvc.yaml that makes it."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.rows = int(manifest["rows"])
        self.dimensions = int(manifest["dimensions"])

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a finished store.

        Raises
        ------
        DnapairError
            If its manifest is missing or damaged.
        """
        path = folder / MANIFEST
        try:
            return cls(folder, json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise DnapairError(f"{path} is missing. Make it first: dvc repro {cls.stage}") from None
        except (ValueError, KeyError, TypeError):
            raise DnapairError(f"{path} is damaged. Delete {folder} and run: dvc repro {cls.stage}") from None

    def shards(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Read every shard once.

        Yields
        ------
        first : int
            Number of the shard's first row.
        values : np.ndarray, shape=(n, dimensions)
            float32, of numbers that float16 holds.

        Raises
        ------
        DnapairError
            If a shard is missing or is not what the manifest says.
        """
        first = 0
        for shard in self.manifest["shards"]:
            values = _read_shard(self.folder / shard["file"], shard["sha256"], self.stage).astype(np.float32)
            yield first, values
            first += len(values)


def write_shards(
    folder: Path,
    key: dict[str, Any],
    rows: int,
    shard_rows: int,
    produce: Callable[[Sequence[Shard]], Values],
    round_values: Round,
    stage: str,
    unit: str,
    told: Mapping[str, Any],
) -> None:
    """Fill a store, going on where an earlier attempt with the same key ended.

    Parameters
    ----------
    folder
        The store. Shards that something else made are removed.
    key
        All that the values depend on, code included.
    rows
        Number of rows.
    shard_rows
        Rows in one shard.
    produce
        Gives the values of every shard asked for, once, in any order. It is asked once, for what is
        missing, and closed early where writing fails.
    round_values
        Rounds them.
    stage, unit
        The stage of dvc.yaml, and what a row is.
    told
        What the manifest tells besides, and the values don't depend on.

    Raises
    ------
    DnapairError
        If another process is at work on the same folder, or as ``round_values``.
    """
    # beside the folder, not in it: DVC hashes what is in it
    with lock(folder.with_name(folder.name + ".lock"), f"writing to {folder}"):
        done = _resume(folder, key, stage)
        shards = [
            Shard(number, start, min(start + shard_rows, rows))
            for number, start in enumerate(range(0, rows, shard_rows))
        ]
        missing = {}
        dimensions = 0
        with tqdm(total=rows, desc=stage, unit=f" {unit}s", dynamic_ncols=True, disable=None) as bar:
            for shard in shards:
                values = _reuse(folder / shard.file, done.get(shard.file), stage)
                if values is None:
                    missing[shard.number] = shard
                else:
                    dimensions = values.shape[1]
                    bar.update(len(values))
            if missing:
                with closing(produce(list(missing.values()))) as results:
                    for number, values in results:
                        shard = missing.pop(number)
                        done[shard.file] = _write_shard(folder / shard.file, values, round_values, unit)
                        _append(folder / _JOURNAL, {"file": shard.file, "sha256": done[shard.file]})
                        dimensions = values.shape[1]
                        bar.update(len(values))
        if missing:
            raise RuntimeError(f"{len(missing)} shards were never made, such as {next(iter(missing))}")
        manifest = {
            "rows": rows,
            "dimensions": dimensions,
            "dtype": "float16",
            **told,
            "made_by": key,
            "shards": [
                {"file": shard.file, "rows": shard.stop - shard.start, "sha256": done[shard.file]}
                for shard in shards
            ],
        }
        write_json(folder / MANIFEST, manifest)
        (folder / _JOURNAL).unlink(missing_ok=True)


def _resume(folder: Path, key: dict[str, Any], stage: str) -> dict[str, str]:
    """Return the hashes of the shards that this very key made before, or empty the folder."""
    done: dict[str, str] = {}
    try:
        if (folder / MANIFEST).is_file():
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if manifest["made_by"] == key:
                done = {shard["file"]: shard["sha256"] for shard in manifest["shards"]}
        elif (folder / _JOURNAL).is_file():
            lines = (folder / _JOURNAL).read_text(encoding="utf-8").splitlines()
            if json.loads(lines[0]) == key:
                done = {entry["file"]: entry["sha256"] for entry in map(_parse_entry, lines[1:]) if entry}
    except (ValueError, KeyError, TypeError, IndexError):
        done = {}
    if done:
        tqdm.write(f"{stage}: going on after {len(done)} finished shards")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.tmp.*"):
        leftover.unlink()
    with atomic_file(folder / _JOURNAL) as temporary:
        entries = [{"file": file, "sha256": digest} for file, digest in done.items()]
        temporary.write_text("".join(json.dumps(line) + "\n" for line in (key, *entries)), encoding="utf-8")
    (folder / MANIFEST).unlink(missing_ok=True)
    return done


def _parse_entry(line: str) -> dict[str, str] | None:
    # the last line may be cut off by a kill: its shard is made again
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"file", "sha256"} <= entry.keys() else None


def _reuse(path: Path, expected: str | None, stage: str) -> NDArray[Any] | None:
    if expected is None:
        return None
    try:
        return _read_shard(path, expected, stage)
    except DnapairError:
        tqdm.write(f"{stage}: {path} is damaged or missing, it is made again")
        return None


def _read_shard(path: Path, expected: str, stage: str) -> NDArray[np.float16]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DnapairError(
            f"{path} is missing. Make it again: dvc repro --force --single-item {stage}"
        ) from None
    if hashlib.sha256(content).hexdigest() != expected:
        raise DnapairError(
            f"{path} is truncated or changed: its SHA-256 is not the manifest's. Make it again: "
            f"dvc repro --force --single-item {stage} (whole shards are kept)"
        )
    file = io.BytesIO(content)
    try:
        shape, dtype = read_header(file)
        values: NDArray[np.float16] = np.frombuffer(content, dtype, offset=file.tell()).reshape(shape)
    except ValueError as error:
        # its hash is right, so the manifest was changed as well
        raise DnapairError(
            f"{path} is no shard: {error}. Make it again: dvc repro --force --single-item {stage}"
        ) from None
    return values


def _write_shard(path: Path, values: NDArray[np.float32], round_values: Round, unit: str) -> str:
    rounded = round_values(values, lambda row: f"{path}, {unit} {row + 1} of the shard")
    with atomic_file(path) as temporary:
        np.save(temporary, rounded, allow_pickle=False)
        return sha256(temporary)


def _append(path: Path, entry: dict[str, str]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
        file.flush()
        os.fsync(file.fileno())
