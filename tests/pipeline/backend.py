"""A lab's back end, real: PostgreSQL, a bucket (moto's server) and `make server` on both."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.pipeline.conftest import BIN, ROOT
from tests.waiting import PATIENCE, reserved_port, wait_for

BUCKET = "lab"
S3 = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


class Backend(NamedTuple):
    """What members of the lab need.

    Attributes
    ----------
    tracking_uri
        Of the MLflow server.
    environment
        The settings of a member's machine.
    database_uri
        What only the server knows.
    """

    tracking_uri: str
    environment: dict[str, str]
    database_uri: str


def postgres_programs() -> Path | None:
    """Return where the newest PostgreSQL's `initdb` and `postgres` lie; Debian keeps them off the PATH."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    found = [path.parent for path in debian]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).parent)
    return next((folder for folder in found if (folder / "postgres").exists()), None)


@contextmanager
def started(
    command: Sequence[str],
    ready: Callable[[], object],
    log: Path,
    stop: signal.Signals = signal.SIGTERM,
    **options: object,
) -> Iterator[subprocess.Popen]:
    """Start a server, wait until ``ready`` raises no OSError, and stop it and its children in the end."""
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, **options
        ) as process,
    ):

        def answers() -> bool:
            with suppress(OSError):
                ready()
                return True
            return False

        try:
            try:
                wait_for(answers, process)
            except AssertionError as error:
                raise AssertionError(f"{error}:\n{log.read_text()}") from None
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, stop)
            process.wait(PATIENCE)


@contextmanager
def mlflow_server(store: str, folder: Path, log: Path) -> Iterator[str]:
    """Start MLflow's server on a tracking store; give its address."""
    with reserved_port() as port:
        uri = f"http://127.0.0.1:{port}"
        # one worker and no job runner: fewer processes
        settings = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
        options = ["--backend-store-uri", store, "--workers", "1", "--port", str(port)]
        command = [sys.executable, "-m", "mlflow", "server", *options]
        with started(command, lambda: ask(f"{uri}/health"), log, cwd=folder, env=settings):
            yield uri


def ask(url: str) -> None:
    """Have a page answered, or raise an OSError."""
    urllib.request.urlopen(url, timeout=PATIENCE).close()


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """Start PostgreSQL with an empty database; give its address."""
    # it refuses to run as root, and the folders of pytest are root's alone
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="dnapair-postgres-") as temporary:
        folder = Path(temporary)
        password = folder / "password"
        password.write_text(secrets.token_hex(8))
        for path in (folder, password) if user else ():
            shutil.chown(path, user["user"], user["group"])
        subprocess.run(
            [
                *(programs / "initdb", "--pgdata", folder / "data", "--username", "mlflow", "--no-sync"),
                *("--auth", "scram-sha-256", "--pwfile", password, "--encoding", "UTF8", "--locale", "C"),
            ],
            stdout=subprocess.DEVNULL,
            check=True,
            cwd=folder,
            **user,
        )
        (folder / "log").touch()
        with reserved_port() as port:
            # its own database `postgres` is empty too
            uri = f"postgresql://mlflow:{password.read_text()}@127.0.0.1:{port}/postgres"
            settings = ("listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}")
            command = [str(programs / "postgres"), "-D", str(folder / "data")]
            command += [word for setting in (*settings, "fsync=off") for word in ("-c", setting)]
            ready = partial(_ask_postgres, uri)
            # SIGINT: end without waiting for the clients
            with started(command, ready, folder / "log", signal.SIGINT, cwd=folder, **user):
                yield uri


def _ask_postgres(uri: str) -> None:
    import psycopg

    try:
        psycopg.connect(uri).close()
    except psycopg.OperationalError as error:
        raise OSError(error) from None


@contextmanager
def bucket(folder: Path) -> Iterator[dict[str, str]]:
    """Start an S3 server with one bucket; give the settings of its clients."""
    import boto3

    with (
        reserved_port() as port,
        started(
            [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            lambda: socket.create_connection(("127.0.0.1", port)).close(),
            folder / "moto.log",
        ),
    ):
        environment = {**S3, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=S3["AWS_DEFAULT_REGION"],
            aws_access_key_id=S3["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=S3["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket=BUCKET)
        yield environment


@contextmanager
def make_server(root: Path, environment: dict[str, str], log: Path) -> Iterator[str]:
    """Start `make server` in a folder; give the address it answers at."""
    settings = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    settings |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}
    # the packages are those of these tests
    command = ["make", "--directory", str(root), "--old-file", "install", "server"]
    with reserved_port() as port:
        uri = f"http://127.0.0.1:{port}"
        settings |= environment | {"MLFLOW_PORT": str(port)}
        with started(command, lambda: ask(f"{uri}/health"), log, env=settings):
            yield uri


@contextmanager
def team(programs: Path, folder: Path) -> Iterator[Backend]:
    """Start all of it."""
    with postgres(programs) as database, bucket(folder) as s3:
        environment = {
            **s3,
            "MLFLOW_BACKEND_STORE_URI": database,
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/mlflow",
        }
        with make_server(ROOT, environment, folder / "server.log") as uri:
            yield Backend(uri, {**s3, "MLFLOW_TRACKING_URI": uri}, database)
