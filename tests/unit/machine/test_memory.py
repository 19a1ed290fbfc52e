import subprocess
import sys

SCRIPT = """
import numpy as np
from dnapair.machine.memory import return_freed_arrays
return_freed_arrays()
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
def work():
    # the first teaches glibc to keep what is freed
    for size in (30, 20, 10):
        kept.append((np.ones(size * 2**20, np.uint8), bytearray(1000))[1])
kept = []
before = resident()
work()
print(resident() - before)
"""


def test_freed_arrays_go_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 5000
