"""Ends a scenario's program as its first argument says; without one, by reaching the end."""

import asyncio
import os
import signal
import sys

from work_done import work_done


async def _fail() -> None:
    raise RuntimeError("leaving by a rejection")


def leave() -> None:
    """Reports that the work is done. The natural end comes when the caller returns."""
    work_done()
    ending = sys.argv[1] if len(sys.argv) > 1 else "natural"
    if ending == "exit":
        sys.exit(0)
    elif ending == "exception":
        raise RuntimeError("leaving by an exception")
    elif ending == "rejection":
        # Python's counterpart: a task fails, and nothing asks for its result.
        asyncio.get_running_loop().create_task(_fail())
    elif ending in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, ending), signal.SIG_DFL)
        os.kill(os.getpid(), getattr(signal, ending))
    elif ending != "natural":
        raise ValueError(f"unknown ending {ending!r}")
