"""python addon_endings.py ADDON ENDING: works with an addon, and ends as ENDING says, without closing anything."""

import asyncio
import os
import signal
import sys
import threading
import time
from typing import Any, Coroutine

from addon import PORT, load
from work_done import work_done

addon = load(sys.argv[1])
null = os.open(os.devnull, os.O_WRONLY)
# Kept until the end, as programs keep their clients and watches.
tasks: "set[asyncio.Task[None]]" = set()
pending: "list[asyncio.Future[None]]" = []


def on_tick(tick: str) -> None:
    # A system call releases the GIL, and the callback needs it again.
    os.write(null, tick.encode())


async def follow() -> None:
    # Only the loop has the iterator: whatever ends the loop drops it, even an exception.
    async for _ in addon.watch(PORT, 300):
        pass


async def work(requests: int = 20) -> None:
    """Returns in the middle of three watches, a subscription and a call."""
    for _ in range(3):
        tasks.add(asyncio.ensure_future(follow()))
    addon.subscribe(PORT, 300, on_tick)
    await asyncio.gather(*(addon.request(PORT, b"x" * 100) for _ in range(requests)))
    pending.append(addon.sleep(60))
    await asyncio.sleep(0.03)


async def fall() -> None:
    work_done()


async def sys_exit() -> None:
    def leave() -> None:
        work_done()
        sys.exit(0)

    asyncio.get_running_loop().call_soon(leave)
    await asyncio.sleep(60)


async def exception() -> None:
    work_done()
    raise LookupError("leaving by an exception")


async def by_signal(number: int) -> None:
    work_done()
    os.kill(os.getpid(), number)
    await asyncio.sleep(60)


async def sigterm_handler() -> None:
    def leave(*_: object) -> None:
        work_done()
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(60)


async def work_then(end: "Coroutine[Any, Any, None]") -> None:
    await work()
    await end


def closed_loop() -> None:
    """The loop is stopped and closed while its futures are pending, as in a notebook or a GUI."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(work())
    loop.close()
    work_done()


async def requests_for_ever() -> None:
    while True:
        await addon.request(PORT, b"y" * 100)


async def work_for_ever() -> None:
    await work(0)
    await requests_for_ever()


def sync_requests_for_ever() -> None:
    while True:
        addon.request_sync(PORT, b"z" * 100)


def daemons(*kinds: Any) -> None:
    """Daemon threads call the addon until the interpreter's end, and beyond."""
    for kind in kinds:
        threading.Thread(target=kind, daemon=True).start()
    time.sleep(0.06)
    work_done()


def in_loop(main: Any) -> Any:
    return lambda: asyncio.run(main())


ENDINGS = {
    "fall": lambda: asyncio.run(work_then(fall())),
    "sys-exit": lambda: asyncio.run(work_then(sys_exit())),
    "exception": lambda: asyncio.run(work_then(exception())),
    "SIGTERM": lambda: asyncio.run(work_then(by_signal(signal.SIGTERM))),
    "SIGTERM-handler": lambda: asyncio.run(work_then(sigterm_handler())),
    "SIGINT": lambda: asyncio.run(work_then(by_signal(signal.SIGINT))),
    "closed-loop": closed_loop,
    "daemons": lambda: daemons(
        sync_requests_for_ever, sync_requests_for_ever, in_loop(requests_for_ever), in_loop(work_for_ever)
    ),
    "daemons-sync": lambda: daemons(*[sync_requests_for_ever] * 3),
    "daemons-async": lambda: daemons(*[in_loop(requests_for_ever)] * 3),
}
ENDINGS[sys.argv[2]]()
