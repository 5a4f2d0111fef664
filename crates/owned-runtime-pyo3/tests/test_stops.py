import asyncio
import os
import threading

from bridge import TestCase, addon, on_each_loop, soon


# Of the kernel's include/linux/sched.h.
PF_EXITING = 0x4


def runtime_threads():
    """Those of the runtime, by their name; the blocking pool's bear it, too. The list may lack some while others end."""
    alive = 0
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/stat") as file:
                name, fields = file.read().split("(", 1)[1].rsplit(") ", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        # A joined thread stays in /proc for a moment, while the kernel buries it.
        exiting = int(fields.split()[6]) & PF_EXITING
        alive += name == "bridge_addon" and not exiting
    return alive


class Stops(TestCase):
    @on_each_loop
    async def test_a_stop_ends_what_is_under_way_and_it_starts_again(self):
        futures = [addon.sleep(60) for _ in range(10)]
        # Its name is given by the thread itself.
        await addon.sleep(0)
        await soon(self, lambda: runtime_threads() == 1, "its one thread runs")
        addon.stop()
        self.assertEqual(runtime_threads(), 0)
        for future in futures:
            with self.assertRaisesRegex(addon.RuntimeStopped, "stopped while the call was under way"):
                await asyncio.wait_for(future, 30)
        self.assertEqual(await addon.hold(1, 0), 1)

    @on_each_loop
    async def test_the_loop_goes_on_during_a_stop(self):
        # On a busy machine the loop may have no CPU for a while.
        for seconds in (0.5, 2, 8):
            addon.keep_thread(seconds)
            await asyncio.sleep(0.05)
            turns = 0
            stopping = addon.stop_soon()
            while not stopping.done():
                turns += 1
                await asyncio.sleep(0.002)
            await stopping
            if turns > 10:
                break
        self.assertGreater(turns, 10)
        self.assertEqual(runtime_threads(), 0)

    @on_each_loop
    async def test_the_last_open_context_stops_it(self):
        async with addon.running():
            await addon.sleep(0)
            await soon(self, lambda: runtime_threads() == 1, "its one thread runs")
            async with addon.running() as context:
                self.assertEqual(type(context).__name__, "Running")
                self.assertEqual(await addon.hold(1, 0), 1)
            await soon(self, lambda: runtime_threads() == 1, "its one thread runs")
            future = addon.sleep(60)
        self.assertEqual(runtime_threads(), 0)
        with self.assertRaises(addon.RuntimeStopped):
            await future

    @on_each_loop
    async def test_a_context_passes_what_is_raised(self):
        with self.assertRaises(LookupError):
            async with addon.running():
                raise LookupError
        context = addon.running()
        async with context:
            with self.assertRaisesRegex(RuntimeError, "open already"):
                async with context:
                    pass
        self.assertEqual(runtime_threads(), 0)

    def test_tasks_that_attach_to_python_do_not_block_a_stop(self):
        calls = []
        stop = threading.Event()
        busy = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
        busy.start()
        try:
            for _ in range(20):
                addon.attaches(lambda: calls.append(1))
                addon.blocking_sleep(0.005)
                addon.stop()
        finally:
            stop.set()
            busy.join()
