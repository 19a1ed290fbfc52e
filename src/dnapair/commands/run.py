"""`dnapair run`: the DVC pipeline as one MLflow run, with settings for this run alone."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dnapair import tracking
from dnapair.commands import summary
from dnapair.errors import DnapairError
from dnapair.params import load_params
from dnapair.params.overrides import changed_settings, parse_words, write_settings
from dnapair.registry import versions
from dnapair.stages import paths
from dnapair.storage.files import sha256

PRETRAIN = "pretrain"
_PRETRAIN_TARGET = "encoders/dvc.yaml:pretrain"


def run(arguments: Sequence[str]) -> None:
    """Bring stages up to date with DVC, under one parent run, and print what came out.

    Parameters
    ----------
    arguments
        Names of stages (none: all), and settings as ``--section.key value`` or ``--section.key=value``.

    Raises
    ------
    DnapairError
        If a setting is unknown or impossible, or a stage failed.
    """
    targets, overrides = parse_words(arguments)
    settings = changed_settings(overrides)
    changes = [f"{key}={value}" for key, value in overrides.items()]
    if PRETRAIN in targets:
        if len(targets) > 1:
            raise DnapairError(f"{PRETRAIN} runs alone: it is not a part of the pipeline.")
        # not `dvc exp run`: it takes away new files that DVC does not track, and so the encoder
        write_settings(overrides)
        _pretrain([*targets, *changes], settings)
        return
    with tracking.pipeline_run([*targets, *changes], settings) as parent:
        # `dvc exp run` rather than a rewrite of our own: it records the changed settings as an experiment
        given = [word for change in changes for word in ("--set-param", change)]
        _dvc(["exp", "run", *given, *targets] if overrides else ["repro", *targets], parent)
        if not targets and not versions.is_registered(
            load_params().registration.name, sha256(paths.REGISTRATION)
        ):
            # another tracking store than the one this model was registered in
            _dvc(["repro", "--force", "--single-item", "register"], parent)
        tracking.link_stages(parent, paths.IDENTITIES)
        # reports that a part of the pipeline did not bring up to date are none of its own
        if not targets:
            tracking.StageRun(parent, None).log_metrics(summary.parent_metrics())
    if not targets:
        summary.show()
    print(f"\nThe record of this run: {tracking.run_page(parent)}")


def _pretrain(words: Sequence[str], settings: Mapping[str, Any]) -> None:
    with tracking.pipeline_run(words, settings) as parent:
        _dvc(["repro", "prepare"], parent)
        fetched = subprocess.run(["encoders/fetch_genes.sh", load_params().pretrain.fasta], check=False)
        if fetched.returncode:
            raise DnapairError("The genes could not be fetched: the reason stands above.")
        # it is frozen, so that nothing but a wish for it runs it
        _dvc(["unfreeze", _PRETRAIN_TARGET], parent)
        try:
            _dvc(["repro", "--force", "--single-item", _PRETRAIN_TARGET], parent)
        finally:
            _dvc(["freeze", _PRETRAIN_TARGET], parent)


def _dvc(arguments: Sequence[str], parent: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_RUN_ID"}
    environment[tracking.PARENT_VARIABLE] = parent
    # the stages say `python`: it must be the one that runs now
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment, check=False)
    if done.returncode:
        raise DnapairError(f"`dvc {' '.join(arguments)}` failed: the reason stands above.")
