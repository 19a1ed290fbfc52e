import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dnapair.data.spooling import spooled
from dnapair.errors import DnapairError
from dnapair.storage.files import scratch_file

CONTENT = b"seq1,seq2\nACGT,ACGA\n" * 100_000


@contextmanager
def named(folder: Path) -> Iterator[Path]:
    path = folder / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[CONTENT])
    writer.start()
    yield path
    writer.join()


@contextmanager
def given(folder: Path) -> Iterator[Path]:
    """What a shell makes of <(...)."""
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as file:
        writer = threading.Thread(target=lambda: (file.write(CONTENT), file.close()))
        writer.start()
        yield Path(f"/dev/fd/{reading}")
        writer.join()


@contextmanager
def connected(folder: Path) -> Iterator[Path]:
    """A socket, as some programs give it to those that they start."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = threading.Thread(target=lambda: (ours.sendall(CONTENT), ours.close()))
        writer.start()
        yield Path(f"/proc/self/fd/{theirs.fileno()}")
        writer.join()


@contextmanager
def redirected(folder: Path) -> Iterator[Path]:
    """A file, of which the first line was read already."""
    (folder / "file").write_bytes(b"line\n" + CONTENT)
    with (folder / "file").open("rb", buffering=0) as file:
        file.read(5)
        yield Path(f"/dev/fd/{file.fileno()}")
    (folder / "file").unlink()


@pytest.mark.parametrize("make", [named, given, connected, redirected])
@pytest.mark.parametrize("output", [None, "out.csv", "new/folder/out.csv"])
def test_what_comes_through_a_pipe_is_a_file_for_a_while(
    tmp_path: Path, make: Callable[[Path], Iterator[Path]], output: str | None
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with make(tmp_path) as pipe, spooled(pipe, None if output is None else work / output) as file:
        assert file.read_bytes() == file.read_bytes() == CONTENT
        assert [path.resolve() for path in work.iterdir()] == ([] if output is None else [file.resolve()])
    assert not file.exists()
    assert list(work.iterdir()) == []


def test_an_error_names_the_pipe_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        named(tmp_path) as pipe,
        pytest.raises(DnapairError) as refused,
        spooled(pipe, tmp_path / "out.csv") as file,
    ):
        raise DnapairError(f"{file}, line 3: wrong")
    assert str(refused.value) == f"{pipe}, line 3: wrong"
    assert list(tmp_path.iterdir()) == [pipe]


def test_what_a_killed_process_left_is_written_over_and_a_living_one_is_not(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    (tmp_path / ".out.csv.input").write_bytes(CONTENT * 2)
    with named(tmp_path) as pipe, spooled(pipe, output) as file:
        assert file.read_bytes() == CONTENT
    pipe.unlink()
    with (
        scratch_file(tmp_path / ".out.csv.input", output),
        redirected(tmp_path) as pipe,
        pytest.raises(DnapairError, match=r"Another process is writing .*out\.csv"),
        spooled(pipe, output),
    ):
        pass


def test_a_file_is_given_as_it_is_and_what_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    with spooled(tmp_path / "a.csv", tmp_path / "out.csv") as file:
        assert file == tmp_path / "a.csv"
    with Path("/dev/null").open("rb") as null, (tmp_path / "a.csv").open("rb") as closed:
        number = closed.fileno()
        closed.close()
        for path, said in (
            (tmp_path, "is a folder"),
            (tmp_path / "none", "is not there"),
            (Path("/dev/zero"), "is a device"),
            (Path(f"/dev/fd/{null.fileno()}"), "is no pipe or file. Name a file, or pipe a table"),
            (Path(f"/dev/fd/{number}"), "is not there: nothing is given"),
        ):
            with pytest.raises(DnapairError, match=said), spooled(path, tmp_path / "out.csv"):
                pass
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
