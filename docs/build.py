"""Make the documentation's site in site/ from the pages that mkdocs.yml lists, as `make docs` does.

Pages keep the places that they have in the project, so that a link leads to the same on GitHub and here. Any
broken link, anchor or picture, and anything that a page would fetch from another host, is an error.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

import dnapair

ROOT = Path(__file__).parents[1]
FOLLOWED = ("a", "href")
"""What a reader may click: all else with an address is fetched as the page opens."""


def list_pages(nav: object) -> Iterator[str]:
    """Yield the pages of mkdocs.yml's ``nav``, in its order."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict | list):
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from list_pages(part)


def write_commands() -> str:
    """Return the page of every verb and its options."""
    app = str(Path(dnapair.__file__).with_name("cli.py"))
    command = ["-m", "typer", app, "utils", "docs", "--name", "dnapair", "--title", "Commands"]
    text = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True).stdout
    # its list cuts sentences off that stand whole below; and every verb has --help
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+\n", "", text)
    return re.sub(r"(\*\*Options\*\*:\n\n)?\* `--help`: .*\n\n", "", text)


def write_settings() -> str:
    """Return the page of params.yaml."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    _, *sections = re.split(r"^(?=\w+:)", text, flags=re.MULTILINE)
    parts = ["# Settings", "[params.yaml](../params.yaml) as it comes: every setting, and what it means."]
    for section in sections:
        name, _, _ = section.partition(":")
        parts.append(f"## {name}\n\n``` {{ .yaml .settings }}\n{section.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def write_python() -> str:
    """Return the page that mkdocstrings fills with the docstrings of the public names."""
    names = sorted(dnapair.__all__, key=lambda name: (not name.islower(), name))
    return "# Python API\n\n" + "\n".join(f"::: dnapair.{name}\n" for name in names)


MADE = {
    "reference/commands.md": write_commands,
    "reference/settings.md": write_settings,
    "reference/python.md": write_python,
}
"""Pages that no file of the project has, and what writes them."""


class Page(HTMLParser):
    """The addresses in a page of the site, and the places in it that an address may name."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.addresses: set[tuple[str, str, str]] = set()
        self.anchors = {""}
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's addresses and names."""
        for name, value in attrs:
            if name in {"href", "src"} and value is not None:
                self.addresses.add((tag, name, value))
            elif name in {"id", "name"} and value:
                self.anchors.add(value)


def find_faults(site: Path, project: Path) -> list[str]:
    """Say what is wrong with the addresses in a site's pages.

    Parameters
    ----------
    site
        Gets those files of the project that its pages link to: pictures, code, reports.
    project
        Its files are those that git knows.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True)
    tracked = set(listed.stdout.split("\0"))
    pages = {file: Page(file) for file in sorted(site.rglob("*.html"))}
    faults = []
    for file, page in pages.items():
        for tag, name, address in sorted(page.addresses):
            parts = urlsplit(address)
            where = f"{file.relative_to(site)}: {address}"
            if parts.scheme or parts.netloc:
                if (tag, name) != FOLLOWED and parts.scheme != "data":
                    faults.append(f"{where} would be fetched from another host")
                continue
            target = Path(os.path.normpath(file.parent / unquote(parts.path))) if parts.path else file
            if not (target.is_file() and target.is_relative_to(site)):
                path = os.path.relpath(target, site)
                if path not in tracked:
                    faults.append(f"{where} leads nowhere")
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project / path, target)
            if target in pages and unquote(parts.fragment) not in pages[target].anchors:
                faults.append(f"{where} names a place that is not there")
    return faults


def main() -> None:
    """Build the site and check it."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    sources, site = ROOT / settings["docs_dir"], ROOT / settings["site_dir"]
    for folder in (sources, site):
        shutil.rmtree(folder, ignore_errors=True)
    for page in [*list_pages(settings["nav"]), *settings["extra_css"], *settings["extra"]["polyfills"]]:
        (sources / page).parent.mkdir(parents=True, exist_ok=True)
        if page in MADE:
            (sources / page).write_text(MADE[page](), encoding="utf-8")
        else:
            shutil.copy(ROOT / page, sources / page)
    command = [sys.executable, "-m", "zensical", "build", "--clean"]
    built = subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)
    if built.returncode:
        # what is wrong with the pages, without the traceback that ends it
        sys.exit(built.stderr.partition("Traceback")[0])
    # it finds its styles only at the root of a host
    (site / "404.html").unlink()
    faults = find_faults(site, ROOT)
    if faults:
        sys.exit("\n".join(faults))
    print(f"{site}/index.html opens in a browser, without a server or a network.")


if __name__ == "__main__":
    main()
