"""The documentation's site as `make docs` builds it, opened from the disk in a browser."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from docs.screenshots import browse, find_chromium
from playwright.sync_api import Page, expect
from typer.main import get_command

import dnapair
from dnapair.cli import app
from tests.pipeline.conftest import ROOT

pytestmark = pytest.mark.slow
in_a_browser = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium here (Debian: apt-get install chromium)"
)


def build(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "docs/build.py"], cwd=project, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that git tracks or would track, as a repository of its own."""
    project = tmp_path_factory.mktemp("site") / "project"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
        "\0"
    ):
        if (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, project / name)
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    return project


@pytest.fixture(scope="module")
def site(project: Path) -> Path:
    done = build(project)
    assert done.returncode == 0, done.stdout + done.stderr
    return project / "site"


@pytest.fixture
def page(site: Path) -> Iterator[Page]:
    with browse(site.as_uri()) as page:
        yield page


def test_every_verb_setting_and_public_name_has_its_place(site: Path) -> None:
    places = {
        "commands": [f"dnapair-{verb}" for verb in get_command(app).commands],
        "settings": list(yaml.safe_load((ROOT / "params.yaml").read_text())),
        "python": [f"dnapair.{name}" for name in [*dnapair.__all__, "Model.score"]],
    }
    for name, anchors in places.items():
        text = (site / "reference" / f"{name}.html").read_text()
        assert [anchor for anchor in anchors if f'id="{anchor}"' not in text] == []
    # as the docstrings say it, with their sections
    assert "as the pipeline does: tables of sequences" in text
    assert text.count('<span class="doc-section-title">Raises:</span>') >= 4
    assert ":func:" not in text


@in_a_browser
def test_every_page_fits_a_phone_and_asks_no_other_host(site: Path, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": 390, "height": 800})
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for file in pages:
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, file
        broken = "[...document.images].filter(one => !one.naturalWidth).map(one => one.src)"
        assert page.evaluate(broken) == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}


@in_a_browser
def test_search_works_without_a_server(site: Path, page: Page) -> None:
    page.goto((site / "docs/serving.html").as_uri())
    page.get_by_role("button", name="Search").first.click()
    box = page.get_by_role("combobox", name="Search")
    box.press_sequentially("reverse complement")
    found = page.get_by_role("option")
    expect(found.filter(has_text="What a row holds")).to_have_count(1)
    # not what the box holds after a first letter
    expect(box).to_have_value("reverse complement")
    box.press_sequentially(" zzzzz")
    expect(found).to_have_count(0)
    box.fill("same_genome")
    found.filter(has_text="Results on other people's questions").first.click()
    page.wait_for_url("**/docs/results.html*")


def test_a_broken_link_or_anchor_stops_the_build(project: Path, site: Path) -> None:
    text = (project / "docs/places.md").read_text()
    (project / "docs/places.md").write_text(f"{text}\n[a](gone.md) [b](evaluation.md#gone)\n")
    done = build(project)
    (project / "docs/places.md").write_text(text)
    assert done.returncode == 1
    assert "page does not exist" in done.stderr
    assert "anchor does not exist" in done.stderr
    assert "docs/places.md" in done.stderr
    assert "Traceback" not in done.stderr
