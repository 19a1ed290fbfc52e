"""The raw data that DVC keeps: whether they are what data.dvc says, and which command brings them back."""

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import yaml

from dnapair.errors import DnapairError

DATA = Path("data")
POINTER = Path("data.dvc")


def read_pointer(pointer: Path = POINTER) -> dict[str, Any] | None:
    """Return what a file of DVC's says of one import; None where there is none, or it is not DVC's."""
    try:
        content = yaml.safe_load(pointer.read_text(encoding="utf-8"))
        return content if isinstance(content["outs"][0], dict) else None
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return None


def origin(pointer: Path = POINTER) -> str | None:
    """Return where the present data came from; None where DVC does not know."""
    try:
        return str((read_pointer(pointer) or {})["deps"][0]["path"])
    except (LookupError, TypeError):
        return None


def check_present(data: Path) -> None:
    """Say how to have data that are not here, where DVC knows them and `dvc repro` does not bring them.

    Raises
    ------
    DnapairError
        If they are not here.
    """
    pointer = data.with_name(data.name + ".dvc")
    content = read_pointer(pointer)
    if data.exists() or content is None or (content.get("deps") and not content.get("frozen")):
        return
    raise DnapairError(f"{data} is not here, and `dvc repro` does not bring a copy. {way_back(data)}")


def check_data(data: Path) -> None:
    """Hash every file of the raw data that DVC knows.

    DVC itself trusts a file whose time and size are as they were: bits that flipped on the disk pass it.

    Parameters
    ----------
    data
        A folder or a file. What DVC does not track, or has no list of files of, is not checked.

    Raises
    ------
    DnapairError
        If a file is missing or changed.
    """
    check_present(data)
    pointer = data.with_name(data.name + ".dvc")
    content = read_pointer(pointer)
    if content is None:
        return
    out = content["outs"][0]
    # an earlier DVC's hash of text leaves out the ends of lines
    if out.get("hash") != "md5" or "md5" not in out:
        return
    for path, expected in listed(data, out["md5"]):
        if _is(path, expected):
            continue
        # DVC takes no change in where time and size are as they were
        touch = f"touch {shlex.quote(str(path))} && " if path.is_file() else ""
        raise DnapairError(
            f"{path} is {'changed' if touch else 'missing'}: it is not what {pointer} says. If that was you, "
            f"tell DVC: {touch}dvc commit --force {pointer}. If not, take the rest away (rm -r {data}) and "
            f"have all back. {way_back(data)}"
        )


def way_back(data: Path = DATA) -> str:
    """Say which command brings the data that DVC knows, as a sentence."""
    pointer = data.with_name(data.name + ".dvc")
    content = read_pointer(pointer)
    if content is None:
        return "Bring data: dnapair use WHERE"
    out = content["outs"][0]
    if _cached(str(out.get("md5"))):
        return f"DVC has them: dvc checkout {pointer}"
    source = origin(pointer)
    if source and ("://" in source or (pointer.parent / source).exists()):
        anew = f"From {source}, as it is now: dvc update {pointer}"
    else:
        anew = (
            f"They came from {source or 'this folder'}, which this machine does not have. With a copy of "
            "your own: dnapair use WHERE. Or ask who has them to share them: `dvc remote add -d storage "
            "WHERE`, `dvc push` and `git push` there, `git pull` and `dvc pull` here."
        )
    if _config()["core"].get("remote"):
        return f"The remote may have them: dvc pull {pointer}. If it does not: {anew}"
    return anew


def listed(data: Path, digest: str) -> list[tuple[Path, str]]:
    """Return the raw data's files and their MD5, as DVC's cache lists them; none where it has no list."""
    if not digest.endswith(".dir"):
        return [(data, digest)]
    try:
        files = json.loads(_cache_file(digest).read_text(encoding="utf-8"))
        return [(data / one["relpath"], one["md5"]) for one in files]
    # DVC itself tells of a damaged cache
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _cached(digest: str) -> bool:
    """Whether DVC's cache has all files of the data, and whole."""
    files = listed(Path(), digest)
    return bool(files) and all(_is(_cache_file(md5), md5) for _, md5 in files)


def _cache_file(digest: str) -> Path:
    place = Path("files", "md5", digest[:2], digest[2:])
    usual = Path(".dvc/cache") / place
    # what is there has this content, whatever the settings say, which are slow to ask for
    return usual if usual.is_file() else Path(_config()["cache"].get("dir", ".dvc/cache")) / place


def _config() -> Any:
    # not DVC's Repo, which would wait for the locks of the `dvc repro` that runs this
    from dvc.config import Config

    return Config(".dvc")


def _is(path: Path, md5: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == md5
