"""python addon_atexit.py ADDON: exit handlers and `__del__` use an addon, before and after it has ended.

One that was registered after the import runs before the addon ends, and gets its answer. The others come too late, and
may get a clear error instead. Either comes at once. The exit code is 1 when it is otherwise.
"""

import atexit
import os
import sys
import time

from addon import PORT, load
from work_done import work_done

AT_ONCE = 0.5


def use(when: str, late: bool) -> None:
    start = time.monotonic()
    try:
        answer = bytes(addon.request_sync(PORT, b"abc"))
        said, fine = f"answered {answer!r}", answer == b"abc"
    except RuntimeError as error:
        said, fine = repr(error), late
    took = time.monotonic() - start
    if not fine or took > AT_ONCE:
        print(f"{when}: {said} after {took:.2f} s", file=sys.stderr, flush=True)
        # Otherwise an exit handler can't change the exit code.
        os._exit(1)


class Kept:
    """Exists until the interpreter's own end."""

    def __del__(self) -> None:
        use("in __del__", late=True)


atexit.register(use, "registered before the import", late=True)
addon = load(sys.argv[1])
atexit.register(use, "registered after the import", late=False)
kept = Kept()
use("at work", late=False)
work_done()
