"""Make the pictures of docs/ui.md: MLflow's own pages of the record in mlflow.db, by a headless Chromium.

Run from the project's folder, after `make demo` and a second pipeline with another setting:

    dnapair run --train.epochs 3
    python docs/screenshots.py
"""

import argparse
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlflow
import requests
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

COLORS = 96
"""Of a picture: enough for MLflow's pages, and a third of the size."""
WIDTH, HEIGHT = 1280, 860
PATIENCE = 3_600_000
"""Milliseconds after which a page hangs that shows nothing."""
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# MLflow's assistant would cover a third of the page
_NO_ASSISTANT = (
    "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
    "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
)
_STATE = 'MLflowLocalStorage-1.1-ExperimentPage-["{}"]-ReactComponentState'


def find_chromium() -> str | None:
    """Return the path of the Chromium or Chrome on this machine, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def serve(store: str, folder: Path, timeout: float = 120) -> Iterator[str]:
    """Run MLflow's server on a tracking store; yield its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # one worker and no job runner: seconds to start, not half a minute
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    options = ["--backend-store-uri", store, "--workers", "1", "--port", str(port)]
    command = [sys.executable, "-m", "mlflow", "server", *options]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + timeout
            while not _answers(f"{url}/health"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{' '.join(command)} did not come up.")
                time.sleep(0.2)
            yield url
        finally:
            subprocess.run(["pkill", "-TERM", "-s", str(process.pid)], check=False)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@contextmanager
def browse(url: str, height: int = HEIGHT) -> Iterator[Page]:
    """Open a page of a headless Chromium that reaches nothing but ``url``."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(_FLAGS))
        context = browser.new_context(viewport={"width": WIDTH, "height": height}, base_url=url)
        context.add_init_script(_NO_ASSISTANT)
        page = context.new_page()
        page.route(
            lambda address: not address.startswith((url, "data:", "blob:")), lambda route: route.abort()
        )
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


def open_page(page: Page, address: str) -> None:
    """Open a page of MLflow's by what stands after ``#/``."""
    # from nowhere: MLflow keeps parts of the old page where only this changes
    page.goto("about:blank")
    page.goto(f"/#/{address}")


def arrange(page: Page, experiment: str, unfolded: Sequence[str], columns: Sequence[str]) -> None:
    """Unfold runs of an experiment's list and show metrics as columns, as MLflow remembers both."""
    state = {
        "runsExpanded": dict.fromkeys(unfolded, True),
        "selectedColumns": [f"metrics.`{name}`" for name in columns],
    }
    change = "([key, state]) => localStorage.setItem(key, JSON.stringify(" + (
        "{...JSON.parse(localStorage.getItem(key) || '{}'), ...state}))"
    )
    page.evaluate(change, [_STATE.format(experiment), state])


def take(page: Page, path: Path) -> None:
    """Write a picture of the window, with few colors."""
    # charts move while they grow
    page.wait_for_timeout(2500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Take every picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", default="sqlite:///mlflow.db", help="MLflow's tracking store")
    parser.add_argument("--output", type=Path, default=Path("docs/ui"), help="folder for the pictures")
    arguments = parser.parse_args()
    client = mlflow.MlflowClient(arguments.store, arguments.store)
    found = client.get_experiment_by_name("dnapair")
    if found is None:
        sys.exit(f"{arguments.store} has no experiment dnapair: run `make demo` first.")
    experiment = found.experiment_id
    runs = client.search_runs([experiment], max_results=1000, order_by=["attributes.start_time DESC"])
    newest = next(run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags)
    # not the second `make demo`, in which nothing ran
    tuned = next(run.data.tags["mlflow.parentRunId"] for run in runs if run.info.run_name == "tune")
    pipelines = [newest, tuned]
    first = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == pipelines[-1]]
    stages = {run.info.run_name: run.info.run_id for run in first}
    version = client.get_model_version_by_alias("dnapair", "champion").version
    home = f"experiments/{experiment}/runs"
    arguments.output.mkdir(parents=True, exist_ok=True)
    with serve(arguments.store, Path.cwd()) as url, browse(url) as page:

        def shoot(name: str) -> None:
            take(page, arguments.output / f"{name}.png")

        open_page(page, f"{home}?workflowType=machine_learning&compareRunsMode=CHART")
        expect(page.get_by_text("chosen/accuracy").first).to_be_visible()
        shoot("charts")

        columns = ("chosen/pr_auc", "chosen/roc_auc", "test/pr_auc", "val_pr_auc")
        arrange(page, experiment, [pipelines[-1], stages["tune"]], columns)
        open_page(page, f"{home}?workflowType=machine_learning")
        expect(page.get_by_role("link", name="trial 1").first).to_be_visible()
        shoot("runs")

        open_page(page, f"{home}/{pipelines[0]}?workflowType=machine_learning")
        page.get_by_text("Show more").first.click()
        shoot("pipeline")

        ids = json.dumps(pipelines)
        open_page(page, f"compare-runs?runs={ids}&experiments={json.dumps([experiment])}")
        page.get_by_role("button", name="Visualizations").click()
        for table in ("Parameters", "Metrics"):
            page.get_by_role("switch", name=f"{table} - Show diff only").click()
        shoot("compare")

        open_page(page, f"{home}/{stages['evaluate torch']}/artifacts?workflowType=machine_learning")
        page.get_by_text("reports", exact=True).click()
        page.get_by_text("report.html", exact=True).click()
        expect(page.frame_locator("iframe").get_by_text("How good")).to_be_visible()
        # it names a folder of this machine
        page.get_by_text("Path: ").first.evaluate("element => element.style.visibility = 'hidden'")
        shoot("report")

        open_page(page, f"models/dnapair/versions/{version}")
        expect(page.get_by_text("champion").first).to_be_visible()
        shoot("model")


if __name__ == "__main__":
    main()
