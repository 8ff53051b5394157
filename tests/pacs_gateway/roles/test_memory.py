"""What processes do with memory that large pieces of objects have left."""

import subprocess
import sys

_N_PIECES = 200
_PAGES_PER_PIECE = 512
_READING = f"""
from resource import RUSAGE_SELF, getrusage
from pacs_gateway.roles.memory import keep_freed_memory

def read():
    for _ in range({_N_PIECES}):
        pieces = [bytearray(1 << 20), bytearray(1 << 20)]

keep_freed_memory()
read()
before = getrusage(RUSAGE_SELF).ru_minflt
read()
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


def test_large_pieces_take_the_memory_of_those_before_them() -> None:
    # In a process of its own: the setting holds for good.
    done = subprocess.run([sys.executable, "-c", _READING], capture_output=True, text=True, check=True, timeout=60)

    assert int(done.stdout) < _N_PIECES * _PAGES_PER_PIECE / 10
