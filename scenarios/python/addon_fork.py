"""python addon_fork.py ADDON KIND: an addon is used, and then used in a child: by os.fork, or multiprocessing's KIND.

The exit code is 1 when the child gets no answer, needs more than 3 s for it, or doesn't end as it should.
"""

import asyncio
import multiprocessing
import os
import sys
import threading
import warnings

from addon import PORT, load
from work_done import work_done

addon = load(sys.argv[1])
kind = sys.argv[2]
ANSWER_WITHIN = 3
END_WITHIN = 10


async def ask() -> None:
    answer = bytes(await addon.request(PORT, b"abc"))
    if answer != b"abc":
        raise ValueError(f"the server answered {answer!r}")


async def in_parent() -> None:
    watch = addon.watch(PORT, 1000)
    async for _ in watch:
        break
    await ask()


def in_child() -> None:
    asyncio.run(asyncio.wait_for(ask(), ANSWER_WITHIN))


def forked() -> int:
    """The child's exit code, or minus the signal that ended it."""
    # Python 3.12 and later advise against it in a process with threads.
    warnings.simplefilter("ignore", DeprecationWarning)
    pid = os.fork()
    if pid == 0:
        in_child()
        sys.exit(0)
    late = threading.Timer(END_WITHIN, os.kill, (pid, 9))
    late.start()
    _, status = os.waitpid(pid, 0)
    late.cancel()
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def started() -> int:
    process = multiprocessing.get_context(kind).Process(target=in_child)
    process.start()
    process.join(END_WITHIN)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


if __name__ == "__main__":
    asyncio.run(in_parent())
    code = forked() if kind == "os.fork" else started()
    if code != 0:
        sys.exit(f"the child ended with {code}")
    work_done()
