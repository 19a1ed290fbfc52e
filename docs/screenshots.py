"""Make the pictures of docs/ui.md: MLflow's own pages of the record in mlflow.db, by a headless Chromium.

Run from the project's folder, after `make demo` and a second pipeline with another setting:

    dnapair run --train.epochs 3
    python docs/screenshots.py
"""

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import requests
from mlflow.entities import Run
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

COLORS = 96
"""Of a picture: enough for MLflow's pages, and a third of the size."""
WIDTH, HEIGHT = 1280, 860
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
_HIDE_ASSISTANT = "[data-component-id='mlflow.assistant.fab'] { display: none }"


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
        page.set_default_timeout(30_000)
        yield page
        browser.close()
