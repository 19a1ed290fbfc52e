import json
import os
from pathlib import Path

import pytest

from dnapair.errors import DnapairError
from dnapair.files import atomic_file, atomic_folder, locked, sha256, write_json


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


def test_a_lock_is_for_one_at_a_time_and_tells_who_has_it(tmp_path: Path):
    lock = tmp_path / "new" / "lock"
    with locked(lock, "held by {}".format), pytest.raises(DnapairError, match=f"held by {os.getpid()}"):
        locked(lock, "held by {}".format).__enter__()
    with locked(lock, "held by {}".format):
        pass
