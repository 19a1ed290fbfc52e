import errno

import pytest

from dnapair.errors import DnapairError, message


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (DnapairError("params.yaml is not here."), "params.yaml is not here."),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "artifacts/dataset/pairs.parquet"),
            "artifacts/dataset/pairs.parquet is missing. The stage that writes it comes first: dvc repro",
        ),
        # as pyarrow raises it
        (
            FileNotFoundError("reports/audit.json"),
            "reports/audit.json is missing. The stage that writes it comes first: dvc repro",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/usr/share/zoneinfo"), None),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "File name too long: x. Give another path."),
        (OSError(errno.EBADF, "Bad file descriptor"), None),
        (
            ModuleNotFoundError("No module named 'no_such_package'", name="no_such_package.part"),
            "no_such_package is not installed here, and this command needs it: install all packages of "
            "dnapair's requirements.txt. An image that only serves has not all of them.",
        ),
        (ModuleNotFoundError("No module named 'json.nothing'", name="json.nothing"), None),
        (ValueError("a fault of the code"), None),
    ],
)
def test_only_what_a_user_can_mend_is_said_without_a_traceback(error: Exception, shown: str | None):
    assert message(error) == shown
