import os
import subprocess
import sys
import unittest

from bridge import TestCase, run_program

CLOSED = "the module's runtime is closed"


class Exits(TestCase):
    def test_nothing_is_left_to_do_at_the_end(self):
        self.assert_program(
            """
async def main():
    pending.extend(addon.sleep(60) for _ in range(100))
    addon.call_with_numbers(lambda _: None, 10**9)
    async for number in addon.numbers(10**9):
        if number == 100:
            break
pending = []
asyncio.run(main())
"""
        )

    def test_objects_that_tasks_hold_at_the_end(self):
        self.assert_program(
            """
class Thing:
    def __del__(self):
        pass
async def main():
    pending.extend(addon.hold(Thing(), 60) for _ in range(100))
    await addon.sleep(0.001)
pending = []
asyncio.run(main())
"""
        )

    def test_tasks_that_want_the_gil_at_the_end(self):
        self.assert_program("for _ in range(3): addon.attaches(lambda: sum(range(100)))\ntime.sleep(0.02)")

    def test_late_calls_get_a_clear_error_at_once(self):
        self.assert_program(
            """
def late(when):
    begin = time.monotonic()
    for call in (lambda: addon.blocking_sleep(0), lambda: addon.numbers(1), lambda: asyncio.run(sleep())):
        try:
            call()
        except addon.RuntimeClosed as error:
            print(when, str(error)[:30])
    if time.monotonic() - begin > 2: print("late")
async def sleep():
    await addon.sleep(0)
class Late:
    def __del__(self):
        late("del")
kept = Late()
addon.close()
late("closed")
addon.close()
atexit.register(late, "atexit")
asyncio.run(asyncio.sleep(0))
""",
            "".join(f"{when} {CLOSED}\n" * 3 for when in ("closed", "atexit", "del")),
        )

    def test_a_close_while_a_loop_runs_ends_what_is_under_way(self):
        self.assert_program(
            """
async def main():
    future, blocked = addon.sleep(60), asyncio.to_thread(addon.blocking_sleep, 60)
    blocked = asyncio.ensure_future(blocked)
    await addon.sleep(0.05)
    await asyncio.to_thread(addon.close)
    for waiting in (future, blocked):
        try:
            await waiting
        except addon.RuntimeClosed as error:
            print(str(error)[:30])
asyncio.run(main())
""",
            f"{CLOSED}\n" * 2,
        )

    def test_a_task_that_keeps_the_thread_is_reported(self):
        done = run_program("addon.keep_thread(2)\ntime.sleep(0.05)", BRIDGE_STOP_BOUND="0.1")
        self.assertEqual(done.returncode, 0)
        self.assertIn("StopOverdue", done.stderr)
        self.assertIn("has not ended within 100ms", done.stderr)

    def test_control_c_while_blocked(self):
        done = run_program(
            "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\naddon.blocking_sleep(60)\n"
        )
        self.assertIn("KeyboardInterrupt", done.stderr)
        self.assertEqual(done.returncode, -2)

    def test_daemon_threads_that_wait_are_left_waiting(self):
        # Ten runs, as it is a race.
        for _ in range(10):
            self.assert_program(
                """
for _ in range(8): threading.Thread(target=addon.blocking_sleep, args=(60,), daemon=True).start()
time.sleep(0.02)
"""
            )

    def test_daemon_threads_whose_values_come_as_it_ends(self):
        # Each value asks for the GIL at about the time of the end. What a late call raises is printed.
        for number in range(20):
            done = run_program(
                f"""
def work():
    while True: addon.blocking_sleep(0)
async def aloop():
    while True: await addon.sleep(0)
threading.excepthook = lambda _: None
for _ in range(3): threading.Thread(target=work, daemon=True).start()
for _ in range(3): threading.Thread(target=lambda: asyncio.run(aloop()), daemon=True).start()
time.sleep(0.03 + {number} / 2000)
"""
            )
            self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)


class OtherThreads(TestCase):
    def test_an_executor_that_blocks_ends_at_a_close(self):
        self.assert_program(
            """
from concurrent.futures import ThreadPoolExecutor
executor = ThreadPoolExecutor()
calls = [executor.submit(addon.blocking_sleep, seconds) for seconds in (0, 1000)]
calls[0].result()
while not calls[1].running(): time.sleep(0.001)
addon.close()
print(type(calls[1].exception()).__name__)
sys.exit(3)
""",
            "RuntimeClosed\n",
            status=3,
        )


class Forks(TestCase):
    USE = """
async def use():
    return [number async for number in addon.numbers(3)] + [await addon.hold(7, 0), addon.blocking_sleep(0)]
def child():
    begin = time.monotonic()
    got = asyncio.run(use())
    return got == [0, 1, 2, 7, 0.0] and time.monotonic() - begin < 5
"""

    def test_a_forked_child_starts_afresh(self):
        self.assert_program(
            self.USE
            + """
async def main():
    kept.append(addon.numbers(10**9, 0.001))
    await kept[0].__anext__()
    kept.extend(addon.sleep(60) for _ in range(10))
    addon.keep_caller(print)
    for _ in range(30):
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            asyncio._set_running_loop(None)
            ok = child()
            try:
                asyncio.run(kept[0].aclose())
            except RuntimeError as error:
                ok = ok and "before the fork" in str(error)
            kept.clear()
            os._exit(0 if ok else 1)
        if os.waitpid(pid, 0)[1] != 0: print("child failed")
        # The parent's connections to its own loop work on.
        assert await addon.hold(1, 0) == 1
kept = []
asyncio.run(main())
""",
            PYTHONWARNINGS="ignore",
        )

    def test_a_child_of_a_child_and_its_exit(self):
        self.assert_program(
            self.USE
            + """
print(child(), flush=True)
pid = os.fork()
if pid == 0:
    print(child(), flush=True)
    second = os.fork()
    if second == 0:
        print(child(), flush=True)
        sys.exit(0)
    os.waitpid(second, 0)
    sys.exit(0)
os.waitpid(pid, 0)
""",
            "True\n" * 3,
            PYTHONWARNINGS="ignore",
        )

    def test_what_was_closed_stays_closed_in_a_child(self):
        self.assert_program(
            """
addon.close()
pid = os.fork()
if pid == 0:
    try:
        addon.blocking_sleep(0)
    except addon.RuntimeClosed:
        print("closed", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
""",
            "closed\n",
            PYTHONWARNINGS="ignore",
        )

    FORKS = """
def forked():
    pid = os.fork()
    if pid == 0:
        os._exit(7 if addon.is_locked() else int(addon.blocking_sleep(0)))
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])

"""

    def test_no_task_holds_a_lock_at_a_fork_and_tasks_go_on_after_it(self):
        self.assert_program(
            self.FORKS
            + """
addon.keep_locking()
print([forked() for _ in range(10)], addon.blocking_sleep(0))
""",
            f"{[0] * 10} 0.0\n",
            PYTHONWARNINGS="ignore",
        )

    def test_forks_of_several_threads(self):
        self.assert_program(
            self.FORKS
            + """
addon.keep_locking()
ended = []
threads = [threading.Thread(target=lambda: ended.extend(forked() for _ in range(10))) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(ended, addon.blocking_sleep(0))
""",
            f"{[0] * 30} 0.0\n",
            PYTHONWARNINGS="ignore",
        )

    def test_a_fork_waits_for_a_stop_that_drops_tasks(self):
        self.assert_program(
            self.FORKS
            + """
addon.lock_at_drop(0.5)
addon.blocking_sleep(0)
stopping = threading.Thread(target=addon.stop)
stopping.start()
while not addon.is_locked(): time.sleep(0.001)
print(forked())
stopping.join()
""",
            "0\n",
            PYTHONWARNINGS="ignore",
        )

    def test_a_task_that_blocks_its_thread_delays_a_fork_only_for_a_time(self):
        self.assert_program(
            self.FORKS
            + """
addon.keep_thread(60)
print(forked(), flush=True)
os._exit(0)
""",
            "0\n",
            PYTHONWARNINGS="ignore",
        )

    def test_multiprocessing(self):
        for kind in ("fork", "forkserver", "spawn"):
            with self.subTest(kind=kind):
                folder = os.path.dirname(os.path.abspath(__file__))
                self.assert_program(
                    f"""
sys.path.insert(0, {folder!r})
import multiprocessing
from children import child
if __name__ == "__main__":
    print(child())
    context = multiprocessing.get_context({kind!r})
    with context.Pool(2) as pool:
        print(pool.apply_async(child).get(30))
        pool.close()
        pool.join()
""",
                    "True\n" * 2,
                    PYTHONWARNINGS="ignore",
                )


class Interpreters(TestCase):
    MODULE = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"

    def test_another_interpreter_is_refused(self):
        done = run_program(
            f"""
import {self.MODULE} as interpreters
id = interpreters.create()
code = "try:\\n import bridge_addon\\nexcept ImportError as error:\\n print(error)"
print(interpreters.run_string(id, code) or "")
asyncio.run(asyncio.sleep(0))
print(addon.blocking_sleep(0))
"""
        )
        self.assertIn("interpreter", done.stdout)
        self.assertIn("0.0", done.stdout)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    @unittest.skipIf(sys.version_info >= (3, 12), "newer ones load the module into the main interpreter only")
    def test_a_subinterpreter_that_came_first_keeps_it_and_ends_with_the_process_or_before(self):
        for ends in ("", "interpreters.destroy(id)\n"):
            program = f"""
import {self.MODULE} as interpreters
id = interpreters.create()
interpreters.run_string(id, "import bridge_addon; print(bridge_addon.blocking_sleep(0), flush=True)")
{ends}
try:
    import bridge_addon
except ImportError as error:
    print(error)
"""
            done = subprocess.run(
                [sys.executable, "-c", program],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
            )
            said = "the module was loaded by another interpreter of this process: its runtime belongs to that one"
            self.assertEqual((done.returncode, done.stdout), (0, f"0.0\n{said}\n"), ends)
