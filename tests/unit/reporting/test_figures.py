"""Figures, whatever else is at work in the process that draws them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE

HALF_THERE = """
import os
import __main__

__main__.begun.set()
# until the one who draws waits for this module, or is done
while not (__main__.waits() or __main__.done.is_set()):
    os.sched_yield()
version_info = (9, 0)
"""
DRAW = """
import importlib, sys, threading
from pathlib import Path

import matplotlib.figure

begun, done, main = threading.Event(), threading.Event(), threading.main_thread().ident

def waits():
    frame = sys._current_frames()[main]
    return "importlib._bootstrap" in frame.f_code.co_filename and frame.f_code.co_name == "acquire"

threading.Thread(target=importlib.import_module, args=["IPython"]).start()
begun.wait()
try:
    from dnapair.reporting.figures import drawing

    with drawing(Path("figure.png")):
        pass
finally:
    done.set()
"""


def test_a_figure_is_drawn_while_another_thread_looks_for_a_notebook(tmp_path: Path):
    (tmp_path / "IPython").mkdir()
    (tmp_path / "IPython" / "__init__.py").write_text(HALF_THERE)
    done = subprocess.run(
        [sys.executable, "-c", DRAW],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure.png").exists()
