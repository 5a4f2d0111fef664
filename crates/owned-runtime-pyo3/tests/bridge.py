"""What the tests share: the addon, the kinds of event loops, and programs in processes of their own."""

import asyncio
import gc
import os
import subprocess
import sys
import time
import unittest
import warnings
from typing import Any, Callable, Dict, Optional

import bridge_addon as addon

try:
    import uvloop
except ImportError:
    uvloop = None


class WithoutReaders(asyncio.SelectorEventLoop):
    """As Windows' Proactor loop: it can't watch a descriptor, so that the bridge reads by a transport."""

    def add_reader(self, *_args: Any) -> None:
        raise NotImplementedError


# Loops of this kind don't close their transports as they close.
warnings.filterwarnings("ignore", r"unclosed .*", ResourceWarning)

LOOPS: Dict[str, Optional[Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop and uvloop.new_event_loop,
    "without add_reader": WithoutReaders,
}


def on_each_loop(test: Callable[..., Any]) -> Callable[[unittest.TestCase], None]:
    """Makes a test of a coroutine function: it is run on each kind of event loop."""

    def run(self: unittest.TestCase) -> None:
        for name, new_loop in LOOPS.items():
            with self.subTest(loop=name):
                if new_loop is None:
                    self.skipTest("uvloop is not installed")
                run_on(new_loop(), test(self))

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


def run_on(loop: asyncio.AbstractEventLoop, main: Any, timeout: float = 60) -> Any:
    """As asyncio.run, on this loop."""
    try:
        return loop.run_until_complete(asyncio.wait_for(main, timeout))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def at_rest() -> int:
    """How many futures live, once that has been the same for 100 ms: what an earlier test dropped may still be ending."""
    gc.collect()
    count, since = addon.live(), time.monotonic()
    while time.monotonic() - since < 0.1:
        time.sleep(0.01)
        if (now := addon.live()) != count:
            count, since = now, time.monotonic()
    return count


def eventually(self: unittest.TestCase, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            self.fail(f"not within 30 s: {what}")
        time.sleep(0.002)


async def soon(self: unittest.TestCase, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            self.fail(f"not within 30 s: {what}")
        await asyncio.sleep(0.002)


def run_program(source: str, timeout: float = 60, **env: str) -> "subprocess.CompletedProcess[str]":
    """Runs a program that has the addon at hand. It and all that it started are ended in any case."""
    prelude = "import asyncio, atexit, os, signal, sys, threading, time\nimport bridge_addon as addon\n"
    process = subprocess.Popen(
        [sys.executable, "-c", prelude + source],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        process.wait()
    return subprocess.CompletedProcess(source, process.returncode, out, err)


class TestCase(unittest.TestCase):
    maxDiff = None

    def assert_program(self, source: str, printed: str = "", status: int = 0, **env: str) -> None:
        """That a program prints just this, nothing on stderr, and ends as it should."""
        done = run_program(source, **env)
        self.assertEqual((done.returncode, done.stderr, done.stdout), (status, "", printed))
