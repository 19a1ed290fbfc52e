"""Names from hostile data in a real browser: our pages, and MLflow's page of a version that has our card."""

import re
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from docs.screenshots import browse, find_chromium, open_page
from playwright.sync_api import Page, expect

from tests.pipeline.backend import mlflow_server
from tests.security.test_markup import HOSTILE, hostile_checks, hostile_report

pytestmark = [
    pytest.mark.slow,
    # MLflow itself runs in these tests
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium here (Debian: apt-get install chromium)"),
]
TITLE = "document.title='run'"


class Watched:
    """A page, and what it asked for and ran."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def touch_everything(self) -> None:
        """Do what a person does: hover and click wherever something might wait for it."""
        self.page.evaluate(
            "for (const one of document.querySelectorAll('body *'))"
            " for (const kind of ['mouseover', 'click', 'focus']) one.dispatchEvent(new Event(kind))"
        )
        # what that set going is over when each picture has come or failed, and new tasks have had their turn
        self.page.evaluate(
            "Promise.all([...document.images].map(one => one.complete || new Promise("
            "done => ['load', 'error'].forEach(kind => one.addEventListener(kind, done)))))"
            ".then(() => new Promise(done => requestAnimationFrame(() => setTimeout(done))))"
        )

    def ran(self) -> bool:
        return self.page.title() == "run" or bool(self.dialogs)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with browse(tmp_path.as_uri()) as page:
        yield Watched(page)


def test_what_runs_is_seen(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<title>quiet</title><img src=missing.png onerror={TITLE}>")
    watched.page.goto((tmp_path / "page.html").as_uri())
    watched.page.wait_for_function(TITLE.replace("=", "=="))
    assert watched.ran()
    assert [url.rsplit("/", 1)[1] for url in watched.requests] == ["page.html", "missing.png"]


@pytest.mark.parametrize("name", ["report.html", "validation.html"])
def test_our_pages_show_names_as_text(watched: Watched, tmp_path: Path, name: str) -> None:
    content = hostile_report(tmp_path)[0] if name == "report.html" else hostile_checks()
    (tmp_path / name).write_text(content, encoding="utf-8")
    watched.page.goto((tmp_path / name).as_uri())
    watched.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    watched.touch_everything()
    assert not watched.ran()
    assert [url for url in watched.requests if not url.startswith("data:")] == [(tmp_path / name).as_uri()]
    shown = re.sub(r"\s+", " ", watched.page.locator("body").inner_text())
    assert HOSTILE[0] in shown
    assert "{{ 7 * 7 }}" in shown
    assert watched.page.locator("script, iframe, a, [onload], [onerror], [onmouseover]").count() == 0


def test_mlflows_page_of_a_version_shows_a_hostile_card_as_text(tmp_path: Path) -> None:
    _, card = hostile_report(tmp_path)
    store = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(store, store)
    client.create_registered_model("dnapair")
    client.create_model_version("dnapair", f"{tmp_path.as_uri()}/model", description=card)
    with mlflow_server(store, tmp_path, tmp_path / "log") as url, browse(url) as page:
        watched = Watched(page)
        open_page(page, "models/dnapair/versions/1")
        expect(page.get_by_text(HOSTILE[0]).first).to_be_visible()
        watched.touch_everything()
        assert not watched.ran()
        assert not [address for address in watched.requests if "example.org" in address]
        assert (
            page.locator("a[href*='example.org'], a[href^='javascript'], img[src*='example.org']").count()
            == 0
        )
