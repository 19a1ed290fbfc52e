"""The documentation's site: which pages it has, and what it says of a broken one."""

import subprocess
from pathlib import Path

import pytest
import yaml
from docs.build import MADE, find_faults, list_pages

ROOT = Path(__file__).parents[2]


def test_each_page_of_the_project_is_in_the_sites_navigation() -> None:
    pages = list(list_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert len(pages) == len(set(pages))
    written = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "encoders/*/README.md")
        for path in ROOT.glob(pattern)
    }
    assert set(pages) == written | set(MADE) | {"datasets/same_genome/README.md"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", tmp_path / "project"], check=True)
    project = tmp_path / "project"
    (project / "docs").mkdir()
    (project / "docs/a picture.png").write_bytes(b"picture")
    (project / "code.py").write_text("pass")
    (project / ".gitignore").write_text("/secret\n")
    (project / "secret").write_text("secret")
    return project


def build(site: Path, body: str) -> Path:
    (site / "docs").mkdir(parents=True)
    (site / "index.html").write_text("<h1 id='head'>Head</h1>")
    (site / "docs/page.html").write_text(f"<p id='here'>{body}</p>")
    return site


def test_what_a_page_links_to_comes_along(tmp_path: Path, project: Path) -> None:
    body = (
        "<img src='a%20picture.png'><a href='../code.py#L1'>code</a><a href='#here'>here</a>"
        "<a href='#'>top</a><a href='../index.html#head'>head</a>"
        "<a href='https://example.org/'>elsewhere</a><img src='data:,'>"
    )
    site = build(tmp_path / "site", body)
    assert find_faults(site, project) == []
    assert (site / "docs/a picture.png").read_bytes() == b"picture"
    assert (site / "code.py").read_text() == "pass"
    assert find_faults(site, project) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<a href='../gone.html'>x</a>", "../gone.html leads nowhere"),
        ("<a href='..'>a folder</a>", ".. leads nowhere"),
        ("<img src='gone.png'>", "gone.png leads nowhere"),
        ("<a href='../secret'>what git does not know</a>", "../secret leads nowhere"),
        ("<a href='../../project/code.py'>outside</a>", "../../project/code.py leads nowhere"),
        ("<a href='#gone'>x</a>", "#gone names a place that is not there"),
        ("<a href='../index.html#here'>x</a>", "../index.html#here names a place that is not there"),
        (
            "<script src='https://example.org/x.js'></script>",
            "https://example.org/x.js would be fetched from another host",
        ),
        (
            "<link rel=stylesheet href='//example.org/x.css'>",
            "//example.org/x.css would be fetched from another host",
        ),
        ("<img src='http://example.org/x'>", "http://example.org/x would be fetched from another host"),
    ],
)
def test_a_broken_address_is_named_with_its_page(
    tmp_path: Path, project: Path, body: str, fault: str
) -> None:
    site = build(tmp_path / "site", body)
    assert find_faults(site, project) == [f"docs/page.html: {fault}"]
    assert not (site / "secret").exists()
