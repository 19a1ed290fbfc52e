import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dnapair.errors import DnapairError
from dnapair.storage.files import (
    SUMS,
    atomic_file,
    atomic_folder,
    check_sums,
    lock,
    read_json,
    sha256,
    write_json,
    write_sums,
)


def test_file_appears_when_the_block_ends(tmp_path: Path):
    path = tmp_path / "new" / "a.csv"
    with atomic_file(path) as temporary:
        temporary.write_text("x")
        assert not path.exists()
        assert temporary.suffix == ".csv"
    assert path.read_text() == "x"
    assert list(path.parent.iterdir()) == [path]


def test_failed_block_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("old")

    def fail() -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("half")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_takes_the_old_ones_place_whole(tmp_path: Path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with atomic_folder(path) as temporary:
        (temporary / "new").touch()
        assert [file.name for file in path.iterdir()] == ["old"]
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_readable_and_in_the_order_given(tmp_path: Path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "µ"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "µ"\n}\n'
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1, "a": "µ"}


def test_sha256(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_a_killed_process_left_is_written_over(tmp_path: Path):
    (tmp_path / ".a.tmp.json").write_text("half")
    write_json(tmp_path / "a.json", 1)
    left = tmp_path / ".folder.tmp"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "half").touch()
    (left / "half").touch()
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "new").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.json", "folder", "new"]


def test_folder_lost_between_the_two_renames_is_put_back_by_the_next_try(tmp_path: Path):
    moved = tmp_path / ".folder.old.tmp"
    moved.mkdir()
    (moved / "old").touch()

    def fail() -> None:
        with atomic_folder(tmp_path / "folder"):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_second_writer_of_the_same_is_refused_and_harms_nothing(tmp_path: Path, write):
    code = (
        "from dnapair.storage.files import *; from pathlib import Path\n"
        f"with {write.__name__}(Path('a')): pass"
    )
    with write(tmp_path / "a") as temporary:
        second = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert second.returncode == 1
        assert "Another process is writing a. Wait for it" in second.stderr
        if write is atomic_folder:
            (temporary / "new").write_text("x")
        else:
            temporary.write_text("x")
    assert (tmp_path / "a" / "new" if write is atomic_folder else tmp_path / "a").read_text() == "x"
    assert not list(tmp_path.glob(".*"))


def test_lock_names_its_holder_and_goes_with_it(tmp_path: Path):
    code = (
        "from dnapair.storage.files import *; from pathlib import Path; import sys\n"
        "with lock(Path('a.lock'), 'at work'):\n  print(flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin
    assert holder.stdout
    holder.stdout.readline()
    with (
        pytest.raises(DnapairError, match=f"Process {holder.pid} is at work"),
        lock(tmp_path / "a.lock", "at work"),
    ):
        pass
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with lock(tmp_path / "a.lock", "at work"):
        pass


@pytest.mark.parametrize(
    "take", [atomic_file, atomic_folder, lambda path: lock(path.parent / "lock", "at work")]
)
def test_folders_made_for_what_failed_go_again(tmp_path: Path, take):
    (tmp_path / "old").mkdir()

    def fail(path: Path) -> None:
        with take(path):
            # a lock's file stays
            (path.parent / "lock").unlink(missing_ok=True)
            raise InterruptedError

    for path in (tmp_path / "new" / "deep" / "a.csv", tmp_path / "old" / "a.csv"):
        with pytest.raises(InterruptedError):
            fail(path)
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


@pytest.fixture
def summed(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    (tmp_path / "deep" / "b.bin").write_bytes(b"x" * 100)
    write_sums(tmp_path)
    return tmp_path


def test_sums_are_as_sha256sum_has_them(summed: Path):
    done = subprocess.run(["sha256sum", "--check", SUMS], cwd=summed, capture_output=True, text=True)
    assert done.stdout == "a.bin: OK\ndeep/b.bin: OK\n"
    check_sums(summed, "")


@pytest.mark.parametrize("bit", range(0, 8 * 256, 97))
def test_any_flipped_bit_is_found_whatever_the_time_of_the_file_says(summed: Path, bit: int):
    path = summed / "a.bin"
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DnapairError, match=r"a\.bin is truncated or changed: .*Mend it so\."):
        check_sums(summed, "Mend it so.")


def test_truncated_missing_and_unreadable_are_told_apart(summed: Path):
    path = summed / "deep" / "b.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DnapairError, match=r"deep/b\.bin is truncated or changed"):
        check_sums(summed, "")
    path.unlink()
    with pytest.raises(DnapairError, match=r"deep/b\.bin is missing, though SHA256SUMS"):
        check_sums(summed, "")
    (summed / SUMS).write_bytes(b"\xff\xfe broken\n")
    with pytest.raises(DnapairError, match=r"SHA256SUMS is damaged"):
        check_sums(summed, "")


def test_damaged_json_names_its_file(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"a": 1')
    with pytest.raises(DnapairError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")


def test_json_that_lacks_what_is_asked_for_names_its_file_and_the_key(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('{"a": {"b": [{"c": 1}]}}')
    content = read_json(path)
    assert content == {"a": {"b": [{"c": 1}]}}
    assert content.get("x") is None
    for ask in (lambda: content["x"], lambda: content["a"]["x"], lambda: content["a"]["b"][0]["x"]):
        with pytest.raises(
            DnapairError, match=r"a\.json has no 'x': another version .*: rm .*a\.json && dvc repro"
        ):
            ask()


@pytest.fixture(scope="module")
def without_locks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which flock answers as on a file system that has none."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a C compiler on Linux makes the file system's answer")
    folder = tmp_path_factory.mktemp("no-locks")
    (folder / "no.c").write_text(
        "#include <errno.h>\nint flock(int file, int what) { errno = ENOLCK; return -1; }\n"
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "no.so", "no.c"], cwd=folder, check=True)
    return {**os.environ, "LD_PRELOAD": str(folder / "no.so")}


@pytest.mark.parametrize(
    "take", ["lock(Path('a'), 'at work')", "atomic_file(Path('a'))", "atomic_folder(Path('a'))"]
)
def test_without_locks_of_the_file_system_this_machines_processes_are_kept_apart(
    tmp_path: Path, without_locks: dict[str, str], take: str
):
    code = f"from dnapair.storage.files import *; from pathlib import Path; import sys\nwith {take}:\n "
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{code} print(flush=True); sys.stdin.read()"],
        cwd=tmp_path,
        env=without_locks,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin
    assert holder.stdout
    holder.stdout.readline()
    (tmp_path / "link").symlink_to(tmp_path)

    def second() -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", f"{code} pass"],
            cwd=tmp_path / "link",
            env=without_locks,
            capture_output=True,
            text=True,
        )

    refused = second()
    assert refused.returncode == 1
    words = f"Process {holder.pid} is at work" if take.startswith("lock") else "Another process is writing a."
    assert words in refused.stderr
    holder.kill()
    _, said = holder.communicate()
    # said once, by what people start
    assert ("has no locks" in said) == take.startswith("lock")
    assert second().returncode == 0
