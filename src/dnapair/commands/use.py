"""`dnapair use`: data of one's own in place of what `data` holds now, or the bundled data back."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

from dnapair.commands.look import Look, look
from dnapair.commands.repository import check_repository
from dnapair.errors import DnapairError
from dnapair.params import check_params, flatten
from dnapair.params.overrides import changed_settings, parse_words, write_settings
from dnapair.stages.imported import DATA, POINTER, origin, read_pointer

BUNDLED = Path("datasets/same_genome")


def run(arguments: Sequence[str], *, dry: bool = False) -> None:
    """Look at data, bring them with DVC, and change the settings that go with them.

    The data of before stay in DVC's cache, and the models that were made of them in the registry. A source
    that can't be had or used leaves the data of before.

    Parameters
    ----------
    arguments
        A folder, a file or an address that DVC knows, and settings as ``--section.key value``. What is not
        given is found; but data from where the present ones are from keep their settings.
    dry
        Whether to look and tell only.

    Raises
    ------
    DnapairError
        If there is no such source, a setting is unknown or impossible, the data can't be used, or what lies
        in data now would be lost.
    """
    sources, overrides = parse_words(arguments)
    if len(sources) != 1:
        raise DnapairError("Name one folder, file or address: dnapair use PATH --split.method random")
    (source,) = sources
    settings = changed_settings(overrides)
    check_repository()
    before = origin()
    local = "://" not in source
    follows = local and _in_git(source)
    if local:
        _check_place(Path(source))
        found = _look(Path(source), overrides, known=source == before)
    if not dry:
        _check_kept()
        with _brought(source, follows=follows):
            found = found if local else _look(DATA, overrides, known=source == before)
    elif not local:
        with tempfile.TemporaryDirectory() as folder:
            _dvc("get-url", source, str(Path(folder, "data")))
            found = _look(Path(folder, "data"), overrides, known=source == before)
    changes = {key: value for key, value in found.settings.items() if value != _setting(settings, key)}
    words = _words(source, found, _changes(settings, changes, overrides))
    if dry:
        print(f"{words}\n\nThis is what `dnapair use {source}` would do: nothing was changed.")
        return
    write_settings(overrides | {key: json.dumps(value) for key, value in changes.items()})
    kept = (
        "dvc repro takes in what changes there."
        if follows
        else "It is a copy: when something changes there, the same command brings it anew."
    )
    back = f"The way back: dnapair use {before}" if before and before != source else ""
    if back and "register.name" not in overrides:
        back += "\nThe gate compares with the champion there is; for another beside it: --register.name NAME"
    next_step = "Next: dvc repro, or dnapair run, which puts it under one run in MLflow."
    print("\n".join([words, "", *filter(None, [kept, back, next_step])]))


def _look(place: Path, overrides: Mapping[str, str], *, known: bool) -> Look:
    params = check_params(changed_settings(overrides), "params.yaml")
    kept = [*flatten(params.data, "data"), *flatten(params.split, "split")] if known else []
    return look(place, params, {*overrides, *kept})


@contextmanager
def _brought(source: str, *, follows: bool) -> Iterator[None]:
    """Put the source's data in place of the present ones, which come back if anything goes wrong."""
    there = DATA.exists()
    # else DVC would put the new data into the folder of the old
    _remove(DATA)
    pointer = POINTER.read_bytes() if POINTER.is_file() else None
    # DVC would keep the order of its lines, so that data which come back would be a change in git
    _remove(POINTER)
    try:
        _dvc("import-url", "--force", source, str(DATA))
        if follows:
            _dvc("unfreeze", str(POINTER))
        yield
    except BaseException:
        if pointer is not None:
            _remove(DATA)
            POINTER.write_bytes(pointer)
        if pointer is not None and there:
            _dvc("checkout", "--force", str(POINTER))
        raise


def _check_place(source: Path) -> None:
    if not source.exists():
        raise DnapairError(f"{source} is not there. Give a folder, a file, or an address such as s3://...")
    inside = source.resolve()
    if inside == DATA.resolve() or DATA.resolve() in inside.parents:
        raise DnapairError(
            f"{source} is where DVC keeps its copy of the data. Name the place that the data come from: "
            f"{origin() or BUNDLED}"
        )
    if inside == Path.cwd() or inside in Path.cwd().parents:
        raise DnapairError(f"{source} holds this project itself. Put the data into a folder of their own.")


def _check_kept() -> None:
    """Refuse to put away data that DVC does not have."""
    if not DATA.exists():
        return
    if not POINTER.is_file():
        raise DnapairError(
            f"{DATA} is here, but {POINTER} is not: DVC does not know these data, and they would be lost. "
            f"Move them elsewhere (mv {DATA} mydata), then use them from there (dnapair use mydata)."
        )
    if read_pointer() is None:
        raise DnapairError(
            f"{POINTER} is not what DVC writes, so it is not known whether {DATA} would be lost. Put it back "
            f"(git checkout {POINTER}), or move the data elsewhere: mv {DATA} mydata"
        )
    found = _dvc("status", "--json", str(POINTER), quiet=True)
    outs = [part.get("changed outs", {}) for part in json.loads(found).get(str(POINTER), [])]
    states = {state for part in outs for state in part.values()}
    if "not in cache" in states:
        raise DnapairError(
            f"DVC's cache does not have what lies in {DATA}, and it would be lost. Have DVC keep it first: "
            f"dvc commit --force {POINTER}"
        )
    if "modified" in states:
        raise DnapairError(
            f"{DATA} was changed since DVC brought it, and the changes would be lost. Copy what you want to "
            f"keep (cp -r {DATA} mydata), then take it away: rm -r {DATA}"
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _in_git(source: str) -> bool:
    try:
        found = subprocess.run(["git", "ls-files", "--", source], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return bool(found.returncode == 0 and found.stdout)


def _dvc(*arguments: str, quiet: bool = False) -> str:
    """Run DVC and return what it printed; its progress is shown, but for ``quiet``."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        print(done.stderr or "", end="", file=sys.stderr)
        raise DnapairError(f"`dvc {' '.join(arguments)}` failed: the reason stands above.")
    return done.stdout


def _words(source: str, found: Look, changes: Sequence[str]) -> str:
    lines = [f"data, from {source}:", *(f"  {part:<8}{text}" for part, text in found.lines.items())]
    lines += ["params.yaml:", *(f"  {change}" for change in changes)] if changes else []
    lines += ["Not sure of", *(f"  {doubt}" for doubt in found.unsure)] if found.unsure else []
    return "\n".join(lines)


def _changes(
    settings: Mapping[str, Any], changes: Mapping[str, Any], overrides: Mapping[str, str]
) -> list[str]:
    given = [f"{key}: {value}" for key, value in overrides.items()]
    return given + [
        f"{key}: {_shown(value)} (was {_shown(_setting(settings, key))})" for key, value in changes.items()
    ]


def _setting(settings: Mapping[str, Any], key: str) -> Any:
    value: Any = reduce(lambda section, name: section[name], key.split("."), settings)
    return value


def _shown(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(json.dumps(value)).strip('"')
