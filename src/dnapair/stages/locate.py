"""Stage `locate`: a link to what a setting points at.

DVC knows dependencies by fixed names, and a setting may name any folder, or none. It looks through the link
each time, so files that were exchanged there make stale what was computed from them.
"""

import os
from pathlib import Path
from typing import Literal

from dnapair import tracking
from dnapair.embedding.hub import UNTRAINED, find_checkpoint
from dnapair.errors import DnapairError
from dnapair.params import Params, load_params
from dnapair.stages import paths
from dnapair.stages.imported import DATA, check_present
from dnapair.storage.files import atomic_file


def run(source: Literal["data", "encoder", "genome"]) -> None:
    """Link artifacts/located/SOURCE to what params.yaml names.

    Where that is no file of its own, such as an encoder that is built, a file with a word takes its place.

    Raises
    ------
    DnapairError
        If it is not there.
    """
    # it makes no record, but those that follow do
    tracking.load_ahead()
    params = load_params()
    target = {"data": _data, "encoder": _encoder, "genome": _genome}[source](params)
    link = paths.LOCATED / source
    if isinstance(target, str):
        with atomic_file(link) as temporary:
            temporary.write_text(f"{target}\n", encoding="utf-8")
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    # from the project's folder it moves along with it
    place = target if target.is_absolute() else os.path.relpath(target.absolute(), link.parent.resolve())
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(place)
    temporary.replace(link)


def _data(params: Params) -> Path | str:
    path = Path(params.data.path)
    if _is_imported(path):
        return "imported"
    if not path.exists():
        raise DnapairError(
            f"{path} (data.path) is not there. Name a folder or a file, or have DVC bring one "
            f"(dnapair use WHERE --data.path {DATA})."
        )
    return path


def _genome(params: Params) -> Path | str:
    if params.data.genome is None:
        return "none"
    path = Path(params.data.genome)
    if _is_imported(path):
        return "imported"
    if not path.is_file():
        raise DnapairError(
            f"{path} (data.genome) is not there. Name a FASTA file, plain or packed by bgzip, or a .2bit."
        )
    return path


def _is_imported(path: Path) -> bool:
    if path != DATA and DATA not in path.parents:
        return False
    # DVC is about to look at these itself
    check_present(DATA)
    return True


def _encoder(params: Params) -> Path | str:
    if params.encoder.source == UNTRAINED:
        return UNTRAINED
    return find_checkpoint(params.encoder.source, params.encoder.revision)
