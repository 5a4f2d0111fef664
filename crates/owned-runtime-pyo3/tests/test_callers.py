import asyncio
import contextvars
import gc
import threading
import time
import weakref

from bridge import TestCase, addon, at_rest, eventually, on_each_loop, soon


class Callers(TestCase):
    @on_each_loop
    async def test_calls_come_in_order_on_the_loops_thread(self):
        numbers, threads = [], set()

        def callback(number):
            numbers.append(number)
            threads.add(threading.get_ident())

        addon.call_with_numbers(callback, 1000)
        await soon(self, lambda: len(numbers) == 1000, "all calls are made")
        self.assertEqual(numbers, list(range(1000)))
        self.assertEqual(threads, {threading.get_ident()})

    @on_each_loop
    async def test_a_slow_callback_holds_its_task_back(self):
        calls = []

        def callback(number):
            calls.append(number)
            time.sleep(0.001)

        before = at_rest()
        addon.call_with_numbers(callback, 10**9)
        await asyncio.sleep(0.05)
        # Nothing is drained while this blocks: at most as many as there is room for wait, and as many come in one turn.
        time.sleep(0.1)
        made = len(calls)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.assertLessEqual(len(calls) - made, 2 * 64)
        self.assertEqual(addon.live(), before + 1)
        addon.stop()
        await soon(self, lambda: addon.live() == before, "the task is dropped")

    @on_each_loop
    async def test_they_run_in_the_context_of_their_making(self):
        variable = contextvars.ContextVar("variable")
        seen = []
        for value in ("first", "second"):
            variable.set(value)
            addon.call_with_numbers(lambda _: seen.append(variable.get()), 2)
        variable.set("now")
        await soon(self, lambda: len(seen) == 4, "all calls are made")
        self.assertEqual(sorted(seen), ["first", "first", "second", "second"])

    @on_each_loop
    async def test_what_they_raise_goes_to_the_loops_handler(self):
        seen = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(context["exception"]))

        def callback(number):
            raise LookupError(number)

        addon.call_with_numbers(callback, 2)
        await soon(self, lambda: len(seen) == 2, "both errors are seen")
        self.assertEqual([error.args for error in seen], [(0,), (1,)])

    @on_each_loop
    async def test_try_call_never_waits(self):
        calls = []
        addon.keep_caller(lambda *arguments: calls.append(arguments))
        said = [addon.try_call(str(n)) for n in range(65)]
        self.assertEqual(said, ["called"] * 64 + ["full"])
        await soon(self, lambda: len(calls) == 64, "the calls are made")
        self.assertEqual(calls[0], ("0", 2))
        self.assertEqual(addon.try_call("more"), "called")
        addon.drop_caller_on_another_thread()

    @on_each_loop
    async def test_a_function_is_released_with_its_last_caller(self):
        def callback(*_arguments):
            pass

        weak = weakref.ref(callback)
        addon.keep_caller(callback)
        del callback
        gc.collect()
        self.assertIsNotNone(weak())
        addon.drop_caller_on_another_thread()
        await soon(self, lambda: weak() is None, "the function is released")

    def test_a_call_after_the_loop_is_over(self):
        loop = asyncio.SelectorEventLoop()

        async def main():
            addon.keep_caller(print)

        loop.run_until_complete(main())
        loop.close()
        self.assertEqual(addon.try_call("late"), "gone")
        addon.drop_caller_on_another_thread()

    def test_without_a_running_loop(self):
        with self.assertRaisesRegex(RuntimeError, "no running event loop"):
            addon.keep_caller(print)
