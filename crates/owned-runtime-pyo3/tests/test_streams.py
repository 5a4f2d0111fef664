import asyncio
import gc

from bridge import TestCase, addon, at_rest, on_each_loop, run_on, soon


class Streams(TestCase):
    @on_each_loop
    async def test_all_items_in_order(self):
        self.assertEqual([number async for number in addon.numbers(1000)], list(range(1000)))

    @on_each_loop
    async def test_items_that_come_one_by_one(self):
        self.assertEqual([number async for number in addon.numbers(20, 0.002)], list(range(20)))

    @on_each_loop
    async def test_errors_are_raised_between_items_and_tuples_come_whole(self):
        stream = addon.items()
        self.assertEqual(await stream.__anext__(), 1)
        with self.assertRaisesRegex(ValueError, "in between"):
            await stream.__anext__()
        self.assertEqual(await stream.__anext__(), (1, 2))
        for _ in range(2):
            with self.assertRaises(StopAsyncIteration):
                await stream.__anext__()

    @on_each_loop
    async def test_a_panic_is_raised_and_ends_it(self):
        stream = addon.panicking_stream()
        self.assertEqual(await stream.__anext__(), 0)
        with self.assertRaisesRegex(addon.TaskPanicked, "on purpose"):
            await stream.__anext__()
        with self.assertRaises(StopAsyncIteration):
            await stream.__anext__()

    @on_each_loop
    async def test_nothing_is_polled_before_it_is_iterated_and_16_items_ahead_then(self):
        before = addon.made()
        stream = addon.numbers(10**9)
        await asyncio.sleep(0.02)
        self.assertEqual(addon.made(), before)
        self.assertEqual(await stream.__anext__(), 0)
        await soon(self, lambda: addon.made() == before + 17, "16 items are made ahead")
        await asyncio.sleep(0.02)
        self.assertEqual(addon.made(), before + 17)

    @on_each_loop
    async def test_a_cancelled_next_loses_no_item(self):
        stream = addon.numbers(300, 0.0005)
        got, cancelled = [], 0
        while len(got) < 300:
            task = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0.0004 * (len(got) % 3))
            task.cancel()
            try:
                got.append(await task)
            except asyncio.CancelledError:
                cancelled += 1
        self.assertEqual(got, list(range(300)))
        self.assertGreater(cancelled, 0)

    @on_each_loop
    async def test_many_at_once_share_the_items(self):
        stream = addon.numbers(200, 0.0001)

        async def take():
            return [number async for number in stream]

        parts = await asyncio.gather(*(take() for _ in range(5)))
        self.assertEqual(sorted(sum(parts, [])), list(range(200)))

    @on_each_loop
    async def test_a_dropped_iterator_drops_its_stream(self):
        before = at_rest()
        stream = addon.numbers(10**9, 0.0001)
        async for number in stream:
            if number == 5:
                break
        self.assertEqual(addon.live(), before + 1)
        del stream
        gc.collect()
        await soon(self, lambda: addon.live() == before, "the stream is dropped")

    @on_each_loop
    async def test_one_that_was_never_iterated_is_dropped(self):
        before = at_rest()
        stream = addon.numbers(10**9)
        self.assertEqual(addon.live(), before + 1)
        del stream
        gc.collect()
        self.assertEqual(addon.live(), before)

    @on_each_loop
    async def test_aclose_drops_the_stream_and_ends_who_waits(self):
        before = at_rest()
        stream = addon.numbers(10**9, 30)

        async def take():
            return [number async for number in stream]

        waiting = asyncio.ensure_future(take())
        await asyncio.sleep(0.01)
        await stream.aclose()
        self.assertEqual(await asyncio.wait_for(waiting, 30), [])
        await stream.aclose()
        with self.assertRaises(StopAsyncIteration):
            await stream.__anext__()
        await soon(self, lambda: addon.live() == before, "the stream is dropped")

    @on_each_loop
    async def test_aclose_before_the_task_has_run(self):
        addon.keep_thread(0.2)
        stream = addon.numbers(10**9, 30)

        async def take():
            return [number async for number in stream]

        waiting = asyncio.ensure_future(take())
        await asyncio.sleep(0)
        await stream.aclose()
        self.assertEqual(await asyncio.wait_for(waiting, 30), [])

    @on_each_loop
    async def test_a_stop_is_raised(self):
        stream = addon.numbers(10**9, 30)
        waiting = asyncio.ensure_future(stream.__anext__())
        await asyncio.sleep(0.01)
        addon.stop()
        with self.assertRaises(addon.RuntimeStopped):
            await asyncio.wait_for(waiting, 30)
        with self.assertRaises(StopAsyncIteration):
            await stream.__anext__()

    def test_it_belongs_to_the_first_loop(self):
        stream = addon.numbers(10**9)

        async def take():
            for _ in range(40):
                await stream.__anext__()

        run_on(asyncio.SelectorEventLoop(), take())
        with self.assertRaisesRegex(RuntimeError, "another event loop"):
            run_on(asyncio.SelectorEventLoop(), take())
