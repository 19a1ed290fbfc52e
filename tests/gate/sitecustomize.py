"""Python runs this at its start where the folder is on its path: the other side of `tests.waiting.Gate`."""

import json
import os
import re
import sys
import time

_folder, _event, _pattern, _turn = json.loads(os.environ["DNAPAIR_TEST_GATE"])
_place = re.compile(_pattern)


def _stand(event: str, arguments: tuple[object, ...]) -> None:
    global _turn
    if event != _event or not _place.search(str(arguments)):
        return
    # the command or `python -m dnapair`, not DVC, which starts it; a beginning interpreter has no sys.argv
    if not re.search(r"dnapair(/__main__\.py)?$", getattr(sys, "argv", [""])[0]):
        return
    _turn -= 1
    if _turn == 0:
        os.mkdir(f"{_folder}/reached")  # noqa: PTH102 - no event that could be this gate's
        # no longer than a test waits, else it would stand here for ever where its test was killed
        for _ in range(240_000):
            if os.path.exists(f"{_folder}/open"):  # noqa: PTH110
                break
            time.sleep(0.005)


sys.addaudithook(_stand)
