"""The project's Dockerfile, read as far as tests need it, and its compose.yaml as Compose reads it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Stage(NamedTuple):
    """What a stage says, with what the stages below it say.

    Attributes
    ----------
    copied : list of str
        Files and folders of the project.
    run : list of str
        Lines for a shell.
    environment : dict of str to str
        Variables.
    command, health : list of str
        What the container runs, and what says whether it is well.
    """

    copied: list[str]
    run: list[str]
    environment: dict[str, str]
    command: list[str]
    health: list[str]


def read_stages(path: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    """Read each stage of a Dockerfile, by its name."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", "")
    stages: dict[str, Stage] = {}
    stage = Stage([], [], {}, [], [])
    for line in filter(str.strip, text.splitlines()):
        word, rest = line.split(maxsplit=1)
        match word:
            case "FROM":
                base, *_, name = rest.split()
                below = stages.get(base, Stage([], [], {}, [], []))
                stage = stages[name] = Stage(*(part.copy() for part in below))
            case "COPY":
                stage.copied.extend(rest.split()[:-1])
            case "RUN":
                stage.run.append(rest)
            case "ENV":
                stage.environment.update(item.split("=", 1) for item in shlex.split(rest))
            case "ENTRYPOINT" | "CMD":
                stage.command.extend(json.loads(rest))
            case "HEALTHCHECK":
                stage.health.extend(json.loads(rest[rest.index("[") :]))
    return stages


def read_compose(secrets: dict[str, str], *, profile: str = "*") -> subprocess.CompletedProcess:
    """Have Compose read the file, with these variables and no others; its output is JSON."""
    program = Path(sys.executable).with_name("docker-compose")
    files = ["--file", ROOT / "compose.yaml", "--env-file", "/dev/null", "--profile", profile]
    return subprocess.run(
        [program, *files, "config", "--format", "json"],
        env=secrets,
        capture_output=True,
        text=True,
        check=False,
    )
