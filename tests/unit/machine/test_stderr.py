import os
import subprocess
import sys

from dnapair.machine.stderr import silent_stderr

SCRIPT = """
import os, sys
from dnapair.machine.stderr import silent_stderr
print("before", file=sys.stderr)
with silent_stderr():
    os.write(2, b"inside\\n")
print("after", file=sys.stderr)
"""


def test_what_is_written_inside_is_lost_and_nothing_else():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["before", "after"]


def test_an_error_opens_it_again():
    kept = os.fstat(2).st_ino
    try:
        with silent_stderr():
            raise ValueError
    except ValueError:
        assert os.fstat(2).st_ino == kept
