"""Runs several commands of dnapair in one process, each perhaps beside a flipped bit; prints what they said.

Reads a JSON list of [file whose middle bit is flipped meanwhile, or null; words of the command] and prints a
JSON list of messages, null where a command ended well. The file's time and size stay as they were.
"""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dnapair import cli


@contextmanager
def flipped(path: Path) -> Iterator[None]:
    """Flip one bit in the middle of a file, and put it back."""
    whole, stat = path.read_bytes(), path.stat()
    times = (stat.st_atime_ns, stat.st_mtime_ns)
    middle = len(whole) // 2
    for content in (whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :], whole):
        path.write_bytes(content)
        os.utime(path, ns=times)
        if content is not whole:
            yield


def run(words: list[str]) -> str | None:
    """Run a command; return what it ended with."""
    sys.argv = ["dnapair", *words]
    try:
        cli.main()
    except SystemExit as end:
        return None if not end.code else str(end.code)
    except BaseException:
        return traceback.format_exc()
    return None


def main() -> None:
    """Run them all."""
    said = []
    for file, words in json.loads(sys.argv[1]):
        if file is None:
            said.append(run(words))
            continue
        with flipped(Path(file)):
            said.append(run(words))
    print("\n" + json.dumps(said))


if __name__ == "__main__":
    main()
