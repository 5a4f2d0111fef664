"""For test_ends.py: what multiprocessing's children run."""

import asyncio

import bridge_addon as addon


async def use():
    return [number async for number in addon.numbers(3)] + [await addon.hold(7, 0), addon.blocking_sleep(0)]


def child():
    return asyncio.run(use()) == [0, 1, 2, 7, 0.0]
