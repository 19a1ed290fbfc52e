"""What a pipeline run ends with: the test metrics side by side, and what to type next."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dnapair.stages import paths
from dnapair.storage.files import read_json

SHOWN = ("accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "mcc", "log_loss", "brier", "ece")
RECIPE = "the original recipe"


def parent_metrics() -> dict[str, float]:
    """Return the test metrics of both frameworks under the names that pipelines are compared by."""
    found = _metrics()
    named = dict(found)
    if paths.REGISTRATION.is_file():
        named["chosen"] = found[read_json(paths.REGISTRATION)["framework"]]
    return {
        f"{prefix}/{name}": value
        for prefix, metrics in named.items()
        for name, value in metrics.items()
        if name in SHOWN
    }


def show() -> None:
    """Print the table and the next commands."""
    metrics = _metrics()
    console = Console(width=100, highlight=False)
    if not metrics:
        return
    table = Table(title="Test metrics (95 % interval)", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("metric", no_wrap=True)
    for framework in metrics:
        table.add_column(framework, justify="right", no_wrap=True)
    first = paths.report_folder(next(iter(metrics)))
    verdict, compared = read_json(first / "verdict.json"), read_json(first / "comparison.json")
    best = str(verdict["best_baseline"])
    beside = [name for name in dict.fromkeys((best, RECIPE)) if name in compared]
    for name in beside:
        heading = f"best baseline: {name}" if name == best else name
        table.add_column(heading, justify="right", style="dim", min_width=10, overflow="fold")
    for name in SHOWN:
        cells = [_with_interval(framework, name, values[name]) for framework, values in metrics.items()]
        known = [compared[other]["metrics"] for other in beside]
        others = [f"{scores[name]:.3f}" if name in scores else "" for scores in known]
        table.add_row(name, *cells, *others)
    console.print(table)
    for framework in metrics:
        folder = paths.report_folder(framework)
        headline = read_json(folder / "verdict.json")["headline"]
        console.print(f"{framework}: {headline} {folder / 'report.html'}", markup=False)
    encoder = read_json(paths.SCALING_REPORT)
    if not encoder["trained"]:
        console.print(
            f"The encoder is {encoder['encoder']}: its weights were drawn, not learnt.", markup=False
        )
    console.print(
        "\nNext:\n"
        "  source .venv/bin/activate\n"
        "  mlflow run . --env-manager local -P train.epochs=3     again with another setting\n"
        "  dnapair compare RUN RUN                     two runs, pair by pair; dvc exp show: all of them\n"
        "  dnapair serve                               the registered model on http://127.0.0.1:5001\n"
        "  dnapair predict pairs.csv --output scored.csv          score your own pairs\n"
        "  dnapair use /path/to/your/data && dvc repro            train on your own"
    )


def _with_interval(framework: str, name: str, value: float) -> str:
    interval = read_json(paths.report_folder(framework) / "intervals.json").get(name)
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})" if interval else f"{value:.3f}"


def _metrics() -> dict[str, dict[str, Any]]:
    found = {name: paths.report_folder(name) / "metrics.json" for name in ("torch", "tensorflow")}
    return {name: read_json(path) for name, path in found.items() if path.is_file()}
