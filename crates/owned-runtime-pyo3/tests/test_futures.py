import asyncio
import contextvars
import gc
import threading
import weakref

from bridge import LOOPS, TestCase, addon, at_rest, eventually, on_each_loop, run_on, soon


class Thing:
    pass


class Futures(TestCase):
    @on_each_loop
    async def test_values_come_back_each_to_its_own(self):
        things = [Thing() for _ in range(500)]
        got = await asyncio.gather(*(addon.hold(thing, 0.001 * (i % 7)) for i, thing in enumerate(things)))
        self.assertTrue(all(a is b for a, b in zip(things, got)))

    @on_each_loop
    async def test_it_is_a_future_of_the_loop(self):
        future = addon.sleep(0)
        self.assertTrue(asyncio.isfuture(future))
        self.assertIs(future.get_loop(), asyncio.get_running_loop())
        done, _ = await asyncio.wait([future], timeout=30)
        self.assertEqual({None}, {future.result() for future in done})

    @on_each_loop
    async def test_a_cancelled_future_drops_its_task(self):
        before = at_rest()
        future = addon.sleep(60)
        waiting = asyncio.ensure_future(asyncio.wait_for(addon.sleep(60), 0.01))
        self.assertEqual(addon.live(), before + 2)
        future.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await future
        with self.assertRaises(asyncio.TimeoutError):
            await waiting
        await soon(self, lambda: addon.live() == before, "the tasks are dropped")

    @on_each_loop
    async def test_a_cancelled_future_whose_value_is_under_way(self):
        for _ in range(200):
            future = addon.hold(1, 0)
            await asyncio.sleep(0)
            future.cancel()
            try:
                await future
            except asyncio.CancelledError:
                pass

    @on_each_loop
    async def test_errors_have_their_causes(self):
        with self.assertRaises(ConnectionError) as caught:
            await addon.fail()
        error, messages = caught.exception, []
        while error is not None:
            messages.append((type(error).__name__, str(error)))
            error = error.__cause__
        self.assertEqual(
            messages,
            [
                ("ConnectionError", "can't connect"),
                ("Exception", "can't reach the host"),
                ("Exception", "no route"),
            ],
        )

    @on_each_loop
    async def test_an_exception_that_futures_refuse_is_raised_all_the_same(self):
        with self.assertRaises(RuntimeError) as caught:
            await asyncio.wait_for(addon.fail_with_stop_iteration(), 30)
        self.assertIsInstance(caught.exception.__cause__, StopIteration)

    @on_each_loop
    async def test_a_value_that_cannot_be_converted_raises(self):
        with self.assertRaisesRegex(ValueError, "not for Python"):
            await addon.unspeakable()

    @on_each_loop
    async def test_a_panic_raises(self):
        with self.assertRaisesRegex(addon.TaskPanicked, "the task panicked: on purpose"):
            await addon.panics()

    @on_each_loop
    async def test_context_variables_are_the_awaiting_tasks(self):
        variable = contextvars.ContextVar("variable")

        async def one(value):
            variable.set(value)
            await addon.sleep(0.005)
            return variable.get()

        self.assertEqual(await asyncio.gather(*map(one, range(50))), list(range(50)))

    @on_each_loop
    async def test_objects_that_tasks_drop_are_freed(self):
        thing = Thing()
        weak = weakref.ref(thing)
        future = addon.hold_and_drop(thing, 0.01)
        del thing
        self.assertIsNotNone(weak())
        await future
        del future
        await addon.sleep(0)
        self.assertIsNone(weak())

    @on_each_loop
    async def test_objects_of_cancelled_tasks_are_freed(self):
        thing = Thing()
        weak = weakref.ref(thing)
        future = addon.hold(thing, 60)
        del thing
        future.cancel()
        del future

        async def freed():
            # Python frees what other threads dropped when an addon's function is next called.
            await addon.sleep(0.001)
            return weak() is None

        while not await freed():
            pass

    def test_without_a_running_loop(self):
        with self.assertRaisesRegex(RuntimeError, "no running event loop"):
            addon.sleep(0)


class Loops(TestCase):
    def test_many_loops_in_many_threads(self):
        for name, new_loop in LOOPS.items():
            if new_loop is None:
                continue
            with self.subTest(loop=name):
                results = {}

                async def work(number):
                    for _ in range(20):
                        got = await asyncio.gather(*(addon.hold((number, i), 0.001) for i in range(20)))
                        self.assertEqual(got, [(number, i) for i in range(20)])
                    results[number] = True

                threads = [threading.Thread(target=lambda n=n: run_on(new_loop(), work(n))) for n in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                self.assertEqual(len(results), 8)

    def test_one_loop_after_another(self):
        for name, new_loop in LOOPS.items():
            if new_loop is None:
                continue
            with self.subTest(loop=name):
                for number in range(50):
                    self.assertEqual(run_on(new_loop(), self.hold(number)), number)

    @staticmethod
    async def hold(value):
        return await addon.hold(value, 0)

    def test_a_closed_loop_ends_its_tasks(self):
        for name in ("asyncio", "uvloop"):
            new_loop = LOOPS[name]
            if new_loop is None:
                continue
            with self.subTest(loop=name):
                before = at_rest()
                kept = []

                async def start():
                    kept.extend(addon.sleep(60) for _ in range(10))
                    kept.append(addon.numbers(10**9, 0.001))
                    await kept[-1].__anext__()
                    addon.call_with_numbers(lambda _: None, 10**9, 0.001)
                    await addon.sleep(0.005)

                loop = new_loop()
                loop.run_until_complete(start())
                self.assertEqual(addon.live(), before + 12)
                loop.close()
                eventually(self, lambda: addon.live() == before, "the tasks of the closed loop are dropped")
                del kept

    def test_a_closed_loop_without_readers_ends_its_tasks_with_the_next_loop(self):
        before = at_rest()
        loop, kept = LOOPS["without add_reader"](), []

        async def start():
            kept.append(addon.sleep(60))
            await addon.sleep(0)

        loop.run_until_complete(start())
        loop.close()
        run_on(asyncio.SelectorEventLoop(), self.hold(1))
        eventually(self, lambda: addon.live() == before, "the task of the closed loop is dropped")

    def test_a_forgotten_loop_is_collected(self):
        before = at_rest()

        def forget():
            loop = asyncio.SelectorEventLoop()
            futures = []

            async def start():
                futures.append(addon.sleep(60))
                await addon.sleep(0)

            loop.run_until_complete(start())
            loop.futures = futures
            return weakref.ref(loop)

        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            weak = forget()
            gc.collect()
        self.assertIsNone(weak())
        eventually(self, lambda: addon.live() == before, "the forgotten loop's tasks are dropped")

    def test_the_loop_keeps_no_context(self):
        variable = contextvars.ContextVar("variable")
        thing = Thing()
        weak = weakref.ref(thing)
        loop = asyncio.SelectorEventLoop()

        async def first(thing):
            variable.set(thing)
            await addon.sleep(0)

        try:
            loop.run_until_complete(first(thing))
            del thing
            gc.collect()
            self.assertIsNone(weak())
        finally:
            loop.close()

    def test_cancelled_tasks_can_still_await_as_asyncio_run_ends(self):
        for name, new_loop in LOOPS.items():
            if new_loop is None:
                continue
            with self.subTest(loop=name):
                said = []

                async def last_words():
                    try:
                        await addon.sleep(60)
                    finally:
                        said.append(await addon.hold("bye", 0.01))

                async def main():
                    main.task = asyncio.ensure_future(last_words())
                    await addon.sleep(0.001)

                run_on(new_loop(), main())
                self.assertEqual(said, ["bye"])
