"""Where nothing can be written is said before any work, by every command that has an output."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnapair.commands import drift, explain, export, make_pairs, predict, pretrain
from dnapair.errors import DnapairError
from dnapair.params.overrides import write_settings
from dnapair.stages import paths
from dnapair.storage.matrix import write_header
from tests.unit.commands.test_make_pairs import OPTIONS

ROOT = Path(__file__).parents[3]
MODEL = "models:/nobody@champion"
TABLE = Path("pairs.csv")
# with no input at all: the place is looked at first
NOTHING = Path("nothing.fa")

COMMANDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "predict": (".csv", lambda output: predict.predict_file(TABLE, output, MODEL, 10, 1)),
    "predict compressed": (".tsv.gz", lambda output: predict.predict_file(TABLE, output, MODEL, 10, 1)),
    "drift": (".html", lambda output: drift.run(TABLE, MODEL, output)),
    "explain a row": (".png", lambda output: explain.explain_row(TABLE, 1, output, MODEL, 1)),
    "explain": (".png", lambda output: explain.explain_pair("ACGT", "ACGT", ("a", "b"), output, MODEL, 1)),
    "export": ("", export.run),
    "export a model": ("", lambda output: export.export_model(MODEL, output)),
    "make-pairs": ("", lambda output: make_pairs.run([NOTHING], output, OPTIONS)),
    "pretrain": ("", lambda output: _pretrain(output)),
}


def _pretrain(output: Path) -> None:
    write_settings({"pretrain.output": str(output), "pretrain.fasta": str(NOTHING)})
    pretrain.run()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    TABLE.write_text("seq1,seq2\nACGTACGT,ACGTTCGT\n")
    paths.NORMALIZED.mkdir(parents=True)
    with paths.SCALED.open("wb") as file:
        write_header(file, (0, 4), np.float32)


def everything() -> set[Path]:
    return set(Path().rglob("*"))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "place", ["below a file", "too long a name", "not writable", "a folder", "a folder beside"]
)
def test_an_output_that_cannot_be_is_refused_and_leaves_nothing(command: str, place: str):
    suffix, run = COMMANDS[command]
    beside = {"explain": ".csv", "explain a row": ".csv", "drift": ".json"}.get(command, "")
    if place == "below a file":
        output, words = TABLE / "new" / f"out{suffix}", "pairs.csv is no folder"
    elif place == "too long a name":
        # as long as a name may be, so that no temporary one can be made; a folder's files have short ones
        length = 256 if command == "export" else 255 - len(suffix)
        output, words = Path("new") / ("x" * length + suffix), "the name is too long"
    elif place == "not writable":
        if sys.platform != "linux" or command == "pretrain":
            # its output lies in the project
            pytest.skip("the kernel's own file system takes no files, whoever asks")
        output, words = Path("/proc") / f"out{suffix}", "in /proc"
    elif not suffix or (place == "a folder beside" and not beside):
        pytest.skip("its output is a folder, or one file")
    else:
        output, words = Path(f"out{suffix}"), "is a folder"
        (output.with_suffix(beside) if place == "a folder beside" else output).mkdir()
    before = everything()
    with pytest.raises(DnapairError, match=words) as raised:
        run(output)
    assert str(raised.value).startswith("pretrain.output" if command == "pretrain" else "--output")
    assert "\n" not in str(raised.value)
    assert everything() == before
