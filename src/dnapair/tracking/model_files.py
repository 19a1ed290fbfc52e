"""A model's files, brought from where MLflow keeps them; nothing of the model is run."""

import re
from typing import Any

import mlflow
from mlflow.models import Model

from dnapair.errors import DnapairError


def parse_address(uri: str) -> tuple[str, str | None, str | None] | None:
    """Return the name, the alias and the version's number in an address of the registry; None for another."""
    address = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", uri)
    return None if address is None else (address[1], address[2], address[3])


def bring_model(uri: str) -> dict[str, Any]:
    """Bring a pair model's files, and what the registry knows of them.

    Parameters
    ----------
    uri
        Any address that MLflow knows.

    Returns
    -------
    dict
        ``folder`` of MLflow's model, and ``bundle``, the one in it with what scores; ``model_id`` by which
        MLflow knows it, None of a folder; ``name``, ``version``, ``alias`` and ``tags`` of the version, which
        are None and empty where the address is none of the registry's.

    Raises
    ------
    DnapairError
        If it is not a model of dnapair's.
    """
    address = parse_address(uri)
    facts: dict[str, Any] = {"name": None, "version": None, "alias": None, "tags": {}}
    if address is not None:
        name, alias, number = address
        client = mlflow.MlflowClient()
        found = (
            client.get_model_version_by_alias(name, alias)
            if alias
            else client.get_model_version(name, str(number))
        )
        # the alias may move meanwhile
        uri = f"models:/{name}/{found.version}"
        facts = {"name": name, "version": str(found.version), "alias": alias, "tags": dict(found.tags)}
    folder = mlflow.artifacts.download_artifacts(uri)
    model = Model.load(folder)
    flavor = model.flavors.get(mlflow.pyfunc.FLAVOR_NAME, {})
    try:
        bundle = flavor["artifacts"]["bundle"]["path"]
    except KeyError:
        raise DnapairError(f"{uri} is not a pair model of dnapair's.") from None
    # a folder may come from another store, which knows the model when this one does not
    known = model.model_id if uri.startswith(("models:/", "runs:/")) else None
    return facts | {"folder": folder, "bundle": f"{folder.rstrip('/')}/{bundle}", "model_id": known}
