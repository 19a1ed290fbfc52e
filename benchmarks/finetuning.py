"""What fine-tuning is worth on validation, and what it costs; writes a table.

    python benchmarks/finetuning.py PROJECT [PROJECT ...] --output benchmarks/finetuning.md

A project is a clone with data of its own in which `dvc repro interact` has run. `dnapair finetune` runs in it
with `finetune.method: auto` and the other settings as they are there, which are put back afterwards; what it
left is removed. Test is not looked at.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import describe_machine

from dnapair.params.overrides import write_settings
from dnapair.stages import paths
from dnapair.storage.files import atomic_file, read_json


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("projects", nargs="+", type=Path)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    found = {project.name: measure(project) for project in given.projects}
    text = table(found)
    print(text)
    if given.output:
        with atomic_file(given.output) as temporary:
            temporary.write_text(text, encoding="utf-8")


def measure(project: Path) -> dict[str, Any]:
    """Run the stage in a project; return its report and its minutes."""
    with contextlib.chdir(project):
        settings = Path("params.yaml").read_bytes()
        write_settings({"finetune.method": "auto"})
        started = time.monotonic()
        try:
            subprocess.run(
                [sys.executable, "-m", "dnapair", "finetune"],
                check=True,
                env=os.environ | {"MLFLOW_TRACKING_URI": ""},
            )
            return {**read_json(paths.FINETUNING_REPORT), "minutes": (time.monotonic() - started) / 60}
        finally:
            Path("params.yaml").write_bytes(settings)
            shutil.rmtree(paths.ENCODER, ignore_errors=True)
            paths.FINETUNING_REPORT.unlink(missing_ok=True)


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the table, in Markdown."""
    lines = [
        "# What fine-tuning is worth on validation",
        "",
        "PR-AUC on validation of a small residual network on the embeddings, interactions beside; in "
        "brackets the difference to the encoder as it is, and its 95 % interval. Test was not looked at.",
        "",
        "| data | as it is | the same, fine-tuned | untrained, fine-tuned | kept | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for name, report in found.items():
        by_start = {("untrained" in one["encoder"]): one for one in report["tries"]}
        cells = [cell(by_start.get(kind)) for kind in (False, True)]
        kept = report["encoder"] if report["fine_tuned"] else "as it is"
        row = [name, f"{report['frozen']['pr_auc']:.4f}", *cells, kept, f"{report['minutes']:.1f}"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, "", f"On {describe_machine()}.", ""])


def cell(one: dict[str, Any] | None) -> str:
    """Say what a try came to."""
    if one is None or one["val"] is None:
        return "-" if one is None else "came to nothing"
    gain = one["gain"]
    return f"{one['val']['pr_auc']:.4f} ({gain['estimate']:+.4f}; {gain['low']:+.4f} to {gain['high']:+.4f})"


if __name__ == "__main__":
    main()
