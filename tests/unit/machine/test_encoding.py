"""What a locale says of text makes no difference."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import find_files
from dnapair.errors import DnapairError
from dnapair.storage.files import read_json, write_json

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0"}
LOCALES = {"ASCII": ASCII, "ASCII as a user has it": {"LC_ALL": "C"}, "UTF-8": {"LC_ALL": "C.UTF-8"}}
SHARES = ["--length=30", "--min-fragments=2", "--pairs=20", "--gc-matched=0", "--val=0.25", "--test=0.25"]


def start(*arguments: str, folder: Path, locale: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    env = {
        name: value for name, value in os.environ.items() if name not in ("LANG", "LC_CTYPE", "PYTHONUTF8")
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env | locale, capture_output=True, check=False
    )


@pytest.mark.parametrize("locale", LOCALES)
def test_text_is_utf8_in_any_locale(tmp_path: Path, locale: str) -> None:
    code = (
        "import sys; from pathlib import Path; from dnapair.machine.encoding import use_utf8; use_utf8();"
        "Path(sys.argv[1]).write_text('M\\xfcller'); print(chr(0xDCFC), sys.argv[1:])"
    )
    done = start("-c", code, "Mü ller", "b", folder=tmp_path, locale=LOCALES[locale])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "Mü ller").read_bytes() == "Müller".encode()
    assert done.stdout.endswith("['Mü ller', 'b']\n".encode())


@pytest.mark.slow
def test_a_command_writes_the_same_bytes_in_any_locale(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    records = "".join(
        f">ü{number} genome=Müller{number % 8} groß\n{''.join(rng.choice(list('ACGT'), 40))}\n"
        for number in range(64)
    )
    (tmp_path / "Gärten.fa").write_text(records, encoding="utf-8")
    written = set()
    for name, locale in LOCALES.items():
        folder = tmp_path / name
        folder.mkdir()
        done = start(
            "-m",
            "dnapair",
            "make-pairs",
            "../Gärten.fa",
            "--output",
            "Bäume",
            *SHARES,
            folder=folder,
            locale=locale,
        )
        assert done.returncode == 0, done.stderr
        assert "Bäume: 20 pairs".encode() in done.stdout
        files = sorted((folder / "Bäume").iterdir())
        assert "Gärten.fa" in (folder / "Bäume" / "README.md").read_text(encoding="utf-8")
        written.add(b"".join(file.read_bytes() for file in files))
    assert len(written) == 1


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES)
def test_a_message_may_have_any_letters(tmp_path: Path, locale: str) -> None:
    (tmp_path / "ü.csv").touch()
    for arguments in (["predict", "ü.csv", "--output", "ö.csv"], ["drift", "ä.csv"]):
        done = start("-m", "dnapair", *arguments, folder=tmp_path, locale=LOCALES[locale])
        assert done.returncode == 1
        assert done.stderr.decode("utf-8").startswith(f"dnapair: {arguments[1]} ")
    assert [path.name for path in tmp_path.iterdir()] == ["ü.csv"]


def test_a_name_that_is_no_utf8_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"p\xe4r.csv")).write_text(
        "seq1,seq2,label\nACGTACGT,ACGTACGA,1\nACGTACGC,ACGTACGA,0\n"
    )
    with pytest.raises(DnapairError, match=r"p\\xe4r\.csv has a name that is not UTF-8") as refused:
        find_files(tmp_path)
    mend = str(refused.value).rpartition("another one: ")[2].replace("NAME", str(tmp_path / "pairs.csv"))
    subprocess.run(["bash", "-c", mend], check=True)
    assert len(read_dataset(find_files(tmp_path), Reading()).pairs) == 2


def test_json_with_such_a_name_is_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"p\xe4r.csv")
    write_json(tmp_path / "a.json", {"file": name})
    assert read_json(tmp_path / "a.json") == {"file": name}
