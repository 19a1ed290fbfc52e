"""The README, typed: every command in its blocks of code, in its order, in one clone with small data."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from tests.pipeline.conftest import ROOT, copy_project, write_small_data
from tests.pipeline.test_pretrain import SHORT
from tests.waiting import reserved_port

pytestmark = pytest.mark.slow

SKIPPED = {
    "make test": "it is what runs this",
    "source: zhihan1996/DNA_bert_6": "it needs the hub; test_encoder reads a checkpoint in its layout",
}
"""Lines, and blocks by a line of theirs, that are not typed, with the reason."""

SERVERS = {"dnapair serve": "ping", "mlflow ui": "health"}
"""Commands that do not end, and the page that answers when they are ready."""


class Block(NamedTuple):
    language: str
    lines: list[str]


def blocks() -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [Block(language, text.rstrip("\n").split("\n")) for language, text in found]


class Reader:
    """Somebody who types what the README says, with files of their own in place of its examples."""

    def __init__(self, folder: Path, port: int) -> None:
        self.project = copy_project(folder / "project")
        root = self.project.root
        write_small_data(root / "datasets" / "same_genome", genomes=120)
        self.project.set(SHORT)
        self.project.commit("Small data")
        self.project.run("dnapair", "use", "datasets/same_genome")
        self.project.commit("They are used")
        subprocess.run(["git", "init", "--quiet", "--bare", folder / "elsewhere"], check=True)
        self.project.run("git", "push", "--quiet", "--set-upstream", str(folder / "elsewhere"), "HEAD")
        (root / ".venv").mkdir()
        for part in ("bin", "lib", "pyvenv.cfg"):
            (root / ".venv" / part).symlink_to(Path(sys.prefix, part))
        # newer than what `make` compares it with: what it would install is what runs this
        (root / ".venv" / ".installed").touch()
        self._write_own_files(folder)
        self.port = port
        self.examples = {
            "/path/to/your/data": str(folder / "own"),
            "genomes/": str(folder / "genomes"),
            "--pairs 100000": "--pairs 1500 --length 100",
            "evaluate.folds=5": "evaluate.folds=2",
            "nano params.yaml": "python own_settings.py",
            # 1 says that they are not like what the champion was trained on, which may be the bundled data
            "dnapair drift FILE": "dnapair drift FILE || [ $? -eq 1 ]",
            "FILE": "new_pairs.csv",
            "s3://bucket/path": str(folder / "storage"),
            "dnapair serve": f"dnapair serve --port {self.port}",
            ":5001/": f":{self.port}/",
        }
        self.unused = set(self.examples)
        self.environment = self.project.env | {
            "MLFLOW_PORT": str(self.port),
            # `mlflow ui` has 16 processes more without them, which nothing here asks for
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_WORKERS": "1",
            "PYTHONPATH": str(root / "src"),
        }

    def _write_own_files(self, folder: Path) -> None:
        rng = np.random.default_rng(2)
        root = self.project.root

        def sequence(bases: np.ndarray) -> str:
            return "".join(rng.choice(list("ACGT"), 100, p=bases))

        genomes = rng.dirichlet([2, 2, 2, 2], size=80)
        labels = rng.integers(0, 2, size=800)
        first, others = rng.integers(0, len(genomes), size=(2, 800))
        # of the same genomes as the pairs that are made of genomes: like what either model is trained on
        own = pd.DataFrame(
            {
                "seq1": [sequence(genomes[place]) for place in first],
                "seq2": [sequence(genomes[place]) for place in np.where(labels, first, others)],
                "label": labels,
            }
        )
        (folder / "own").mkdir()
        own.to_csv(folder / "own" / "pairs.csv", index=False)
        own.drop(columns="label").head(40).to_csv(root / "new_pairs.csv", index=False)
        records = [
            f">r{genome}_{number} genome=g{genome}\n{sequence(bases)}\n"
            for genome, bases in enumerate(genomes)
            for number in range(8)
        ]
        (folder / "genomes").mkdir()
        (folder / "genomes" / "all.fasta").write_text("".join(records))
        (root / "own_settings.py").write_text(
            "from dnapair.params.overrides import write_settings\n"
            f"write_settings({{'pretrain.fasta': {str(folder / 'genomes')!r}, "
            "'pretrain.genome': r'genome=(\\S+)'})\n"
        )

    def script(self, block: Block) -> str:
        lines = [line for line in block.lines if line.split("#")[0].strip() not in SKIPPED]
        text = "\n".join(lines)
        for example, own in self.examples.items():
            if example in text:
                text = text.replace(example, own)
                self.unused.discard(example)
        for command, page in SERVERS.items():
            text = re.sub(
                rf"^({command}\b[^#\n]*).*$",
                rf"\1 & server=$!\n"
                rf"trap 'kill $server; wait' EXIT\n"
                rf"until curl -sf http://127.0.0.1:{self.port}/{page}; do kill -0 $server; sleep 1; done",
                text,
                flags=re.MULTILINE,
            )
        return f"python - <<'END'\n{text}\nprint(scores)\nEND" if block.language == "python" else text

    def type(self, block: Block) -> str:
        script = self.script(block)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.project.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}"
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reserved_port() as port:
        yield Reader(tmp_path_factory.mktemp("readme"), port)


def test_every_command_of_the_readme_works_in_its_order(reader: Reader):
    root = reader.project.root
    printed: dict[str, str] = {}
    for block in blocks():
        if any(line.strip().split("  ")[0] in SKIPPED for line in block.lines) and block.language != "bash":
            continue
        assert block.language in ("bash", "python"), (
            f"a block is neither typed nor skipped:\n{chr(10).join(block.lines)}"
        )
        printed[block.lines[0].split("#")[0].strip()] = reader.type(block)
    assert not reader.unused, f"the README has no such example any more: {reader.unused}"

    assert "roc_auc" in printed["make demo"]
    assert "pr_auc" in printed['dnapair compare "evaluate torch" "evaluate tensorflow"']
    # a refusal ends with 1 too: it must be the answer
    assert re.search(
        r"^new_pairs\.csv: 40 pairs (left|are in) the range that \S+ was trained on",
        printed["dnapair predict FILE --output scored.parquet"],
        re.MULTILINE,
    )
    assert re.search(r"^39 +\S+ +[01]$", printed["import dnapair"], re.MULTILINE)
    assert len(pd.read_csv(root / "scored.csv")) == len(pd.read_parquet(root / "scored.parquet")) == 40
    assert (root / "artifacts/encoders/own/model.safetensors").is_file() or (
        root / "encoders/own/model.safetensors"
    ).is_file()
    answer = printed["dnapair serve"].splitlines()[-1]
    (score,) = json.loads(answer[answer.index('{"predictions"') :])["predictions"]
    assert 0 <= score["probability"] <= 1
    assert (root / "explained.png").read_bytes().startswith(b"\x89PNG")
    assert any(Path(reader.examples["s3://bucket/path"]).iterdir())
