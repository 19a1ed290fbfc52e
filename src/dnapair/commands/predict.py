"""`dnapair predict`: a file of pairs through a registered model, chunk by chunk; what is done is kept."""

import csv
import gzip
import hashlib
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

import dnapair
from dnapair.commands.pair_table import PairTable
from dnapair.data.places import spell_renamed
from dnapair.data.spooling import spooled
from dnapair.data.tables import Table
from dnapair.errors import DnapairError
from dnapair.storage.files import atomic_file, check_place, lock

if TYPE_CHECKING:
    # loaded after the first look at the table: it brings PyTorch
    from dnapair.scoring.scorer import PairScorer

SCORES = ("probability", "label")
SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
_CHUNK_BYTES = 2**26
_GROUP_BYTES = 2**25
_PART = np.dtype([("probability", "<f4"), ("label", "u1")])
_PART_SUFFIX = ".part"

Write = Callable[[pa.Table], None]


def predict_file(
    file: Path,
    output: Path,
    model: str,
    chunk: int,
    cache_mb: int,
    columns: str | None = None,
    sequences: Path | None = None,
    genome: Path | None = None,
    width: int | None = None,
    threshold: float | None = None,
) -> None:
    """Score every pair of a table, in constant memory.

    The scores of each chunk are kept in a hidden folder beside the output until all are there. They are found
    again by the chunk's sequences, the model and the code: a run that was killed goes on where it was, and a
    table that was mended keeps the chunks that are as they were.

    Parameters
    ----------
    file
        As for :class:`~dnapair.commands.pair_table.PairTable`; or a pipe of that.
    output
        Where the table goes: its own columns, then ``probability`` (float32) and ``label`` (0 or 1). Columns
        of the file that are called so already get ``input_`` before their names. Its name ends in one of
        :data:`SUFFIXES`. Types and nulls stay from Parquet to Parquet.
    model
        Address of a dnapair model that MLflow knows, such as ``models:/dnapair@champion``.
    chunk
        Pairs scored at a time; fewer where they have more than 64 MB.
    cache_mb
        The most memory, in 10^6 bytes, for embeddings of sequences that may come again.
    columns, sequences, genome, width
        As for :class:`~dnapair.commands.pair_table.PairTable`.
    threshold
        Probability from which a pair is called related; None: the model's own.

    Raises
    ------
    DnapairError
        If the file, a pair in it, the output's name or the model is not right, or another process writes to
        the output; nothing is written there then.
    """
    if not output.name.endswith(SUFFIXES):
        raise DnapairError(f"--output {output}: the name must end in {', '.join(SUFFIXES)}.")
    if output.resolve() == file.resolve():
        raise DnapairError(f"--output {output} is the table itself. Choose another name.")
    check_place(output, "--output")
    with spooled(file, output) as readable:
        table = PairTable(readable, columns, sequences, genome, width)
        _predict(table, output, model, chunk, cache_mb, threshold)


def _predict(
    pair_table: PairTable, output: Path, model: str, chunk: int, cache_mb: int, threshold: float | None
) -> None:
    table = pair_table.table
    names = _free_names(table.names)
    with _parts(output) as folder:
        from dnapair.embedding.cache import EmbeddingCache
        from dnapair.registry.loading import load_scorer

        scorer = load_scorer(model)
        pair_table.find(scorer.settings.columns, scorer.settings.width)
        cache = EmbeddingCache(cache_mb * 10**6)
        made_by = _made_by(scorer, scorer.settings.threshold if threshold is None else threshold)
        done = reused = 0
        with (
            atomic_file(folder / output.name) as temporary,
            _writer(temporary, output.name, names, table.schema.types) as write,
            tqdm(desc="predict", unit=" pairs", dynamic_ncols=True, disable=None) as bar,
        ):
            wanted = list(dict.fromkeys([*table.names, *pair_table.columns]))
            for pairs in _chunks(table, wanted, chunk, typed=output.suffix == ".parquet"):
                try:
                    sides = pair_table.sides(pairs, done)
                except DnapairError as error:
                    raise DnapairError(f"{error}{_kept(folder)}") from None
                part = folder / f"{_digest(made_by, sides)}{_PART_SUFFIX}"
                scores = _read_part(part, pairs.num_rows)
                if scores is None:
                    try:
                        scored = scorer.score(*sides, done + 1, cache, pair_table.columns, threshold)
                    except DnapairError as error:
                        raise DnapairError(f"{table.path}: {error}{_kept(folder)}") from None
                    scores = np.empty(pairs.num_rows, _PART)
                    scores["probability"], scores["label"] = scored
                    _write_part(part, scores)
                else:
                    reused += len(scores)
                write(_with_scores(pairs.select(table.names), names, scores))
                done += len(scores)
                bar.update(len(scores))
        (folder / output.name).replace(output)
    before = f", {reused} of them before" if reused else ""
    print(f"{output}: {done} pairs scored by {model}{before}")
    if pair_table.renamed:
        print(spell_renamed(pair_table.renamed))


def _free_names(names: Sequence[str]) -> list[str]:
    free: list[str] = []
    for name in names:
        new = name
        while new in SCORES or (new != name and new in {*names, *free}):
            new = f"input_{new}"
        free.append(new)
    return free


@contextmanager
def _parts(output: Path) -> Iterator[Path]:
    """Give the folder of finished parts; it is kept where the block raises and there are any."""
    folder = output.with_name(f".{output.name}.parts")
    finished = False
    with lock(folder / "lock", f"writing {output}"):
        for leftover in folder.glob(".*.tmp.*"):
            leftover.unlink()
        try:
            yield folder
            finished = True
        finally:
            if finished or not any(folder.glob(f"*{_PART_SUFFIX}")):
                shutil.rmtree(folder)


def _kept(folder: Path) -> str:
    if not any(folder.glob(f"*{_PART_SUFFIX}")):
        return ""
    return f" What was scored before is kept in {folder}: mend the table and run the same command again."


def _made_by(scorer: "PairScorer", threshold: float) -> bytes:
    """Hash what scores depend on beside the sequences: the model, its precision here, threshold and code."""
    from dnapair.scoring.bundle import bundle_sha256

    model = bundle_sha256(scorer.folder)
    digest = hashlib.sha256(f"{model} {scorer.precision} {threshold!r}\n".encode())
    for path in sorted(Path(dnapair.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


def _digest(made_by: bytes, sides: Sequence[Sequence[str]]) -> str:
    digest = hashlib.sha256(made_by)
    for side in sides:
        # with the lengths, since texts that are joined could be cut elsewhere
        digest.update(np.array([len(side), *map(len, side)]).tobytes())
        digest.update("".join(side).encode())
    return digest.hexdigest()


def _read_part(path: Path, rows: int) -> NDArray[Any] | None:
    """Return the scores of a part, or None where there are none or they are damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, scores = content[:32], content[32:]
    if hashlib.sha256(scores).digest() != digest or len(scores) != rows * _PART.itemsize:
        tqdm.write(f"predict: {path} is damaged, it is made again")
        return None
    return np.frombuffer(scores, _PART)


def _write_part(path: Path, scores: NDArray[Any]) -> None:
    content = scores.tobytes()
    with atomic_file(path) as temporary:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)


def _chunks(table: Table, columns: list[str], size: int, *, typed: bool) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    rows = held = 0
    for batch in table.batches(columns, typed=typed):
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, size - rows)
            waiting.append(piece)
            start += piece.num_rows
            rows += piece.num_rows
            held += piece.nbytes
            if rows == size or held > _CHUNK_BYTES:
                yield pa.Table.from_batches(waiting)
                waiting, rows, held = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _with_scores(pairs: pa.Table, names: Sequence[str], scores: NDArray[Any]) -> pa.Table:
    table = pairs.rename_columns(list(names))
    for name, values in zip(SCORES, (scores["probability"], scores["label"].astype(np.int64)), strict=True):
        table = table.append_column(name, pa.array(values))
    return table


def _writer(
    path: Path, name: str, names: Sequence[str], types: Sequence[pa.DataType]
) -> AbstractContextManager[Write]:
    names = [*names, *SCORES]
    if name.endswith(".parquet"):
        schema = pa.schema(list(zip(names, [*types, pa.float32(), pa.int64()], strict=True)))
        return _parquet_writer(path, schema)
    return _text_writer(
        path, names, "," if name.removesuffix(".gz").endswith(".csv") else "\t", name.endswith(".gz")
    )


@contextmanager
def _parquet_writer(path: Path, schema: pa.Schema) -> Iterator[Write]:
    waiting: list[pa.Table] = []

    def flush() -> None:
        if waiting:
            group = pa.concat_tables(waiting)
            # one group for each flush, however many rows
            writer.write_table(group, row_group_size=group.num_rows)
            waiting.clear()

    def write(table: pa.Table) -> None:
        waiting.append(table)
        if sum(held.nbytes for held in waiting) > _GROUP_BYTES:
            flush()

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield write
        flush()


@contextmanager
def _text_writer(path: Path, names: Sequence[str], delimiter: str, compress: bool) -> Iterator[Write]:
    # no time and no name inside, so that the same scores are the same bytes
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) if compress else file as stream,
        io.TextIOWrapper(stream, encoding="utf-8", newline="") as text,
    ):
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(names)

        def write(table: pa.Table) -> None:
            place = table.num_columns - len(SCORES)
            # as float32 is written: no more digits than it has
            texts = table.set_column(place, SCORES[0], table[place].cast(pa.string()))
            writer.writerows(zip(*(column.to_pylist() for column in texts.columns), strict=True))

        yield write
