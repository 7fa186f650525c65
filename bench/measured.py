"""measured.py FILE COMMAND...: runs a command, and writes what it took into FILE.

A process of its own, and a small one, because what a child is said to need at its peak is no less than its parent had.
"""

import json
import os
import sys
import time

started = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
usage = os.wait4(child, 0)
taken = {
    "seconds": time.perf_counter() - started,
    "cpu": usage[2].ru_utime + usage[2].ru_stime,
    "memory": usage[2].ru_maxrss / 1024,
}
with open(sys.argv[1], "w") as file:
    json.dump(taken, file)
sys.exit(os.waitstatus_to_exitcode(usage[1]))
