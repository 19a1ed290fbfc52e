"""Where a checkpoint lies: a folder, or the Hugging Face hub's cache on this machine."""

import os
import re
from pathlib import Path

from dnapair.errors import DnapairError, first_line

UNTRAINED = "untrained"
"""The source of an encoder that is built, not found."""

_FILES = ["config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin"]


def find_checkpoint(source: str, revision: str | None = None) -> Path:
    """Return the folder of a checkpoint; one of the hub is downloaded, unless it is in the hub's cache.

    Parameters
    ----------
    source
        A folder in Hugging Face's layout, or a hub id such as ``zhihan1996/DNA_bert_6``.
    revision
        The hub commit; needed for a hub id.

    Raises
    ------
    DnapairError
        If there is no such folder, and the hub does not have it either.
    """
    if Path(source).is_dir():
        return Path(source)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise DnapairError(
            f"encoder.source: there is no folder {source!r}, nor is it a Hugging Face id (name/model)."
        )
    if revision is None:
        raise DnapairError(
            f"encoder.source: {source!r} is not a folder here. If it is a Hugging Face id, pin its commit in "
            f"encoder.revision, so that the run can be repeated (the page of the model lists its commits)."
        )
    # read when the hub's package is imported
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise DnapairError(
            f"The encoder {source} at revision {revision} can't be had from the Hugging Face hub: "
            f"{first_line(error)} "
            "Check encoder.source and encoder.revision and the network, or download the files once and set "
            "encoder.source to their folder."
        ) from None
