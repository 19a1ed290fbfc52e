"""What may be called what in MLflow's registry."""

import re
from typing import Annotated

from pydantic import AfterValidator

OWN_TAGS = (
    *("archived", "rolled_back", "framework", "encoder", "version", "val_pr_auc", "test_pr_auc"),
    *("test_roc_auc", "bundle_sha256", "dataset_sha256", "registration_sha256"),
)
"""Tags of a registered version, after ``dnapair.``: the gate's word on an alias is a tag of its name."""


def _check_alias(alias: str) -> str:
    if not re.fullmatch(r"[A-Za-z][\w-]{0,99}", alias):
        raise ValueError("an alias is up to 100 letters, digits, - and _, and begins with a letter")
    if alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise ValueError("MLflow keeps latest, v1, v2 and so on to itself. Choose another alias")
    if alias in OWN_TAGS:
        raise ValueError("versions have a tag of this name already. Choose another alias")
    return alias


def _check_model_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w .-]{0,99}(?<! )", name):
        raise ValueError(
            "a registered model's name is up to 100 letters, digits, spaces, - _ and . (MLflow takes no / "
            "and no :); it begins with a letter, digit or _ and ends with no space"
        )
    return name


Alias = Annotated[str, AfterValidator(_check_alias)]
ModelName = Annotated[str, AfterValidator(_check_model_name)]
