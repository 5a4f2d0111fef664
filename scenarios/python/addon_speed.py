"""python addon_speed.py ADDON AT_ONCE SECONDS: awaits an addon's awaitables, AT_ONCE at a time, and prints JSON."""

import asyncio
import json
import sys
import time

from addon import load

addon = load(sys.argv[1])
at_once = int(sys.argv[2])
seconds = float(sys.argv[3])


async def turn(first: int) -> None:
    if at_once == 1:
        got = [await addon.soon(first)]
    else:
        got = await asyncio.gather(*(addon.soon(first + i) for i in range(at_once)))
    if got != list(range(first, first + at_once)):
        raise ValueError("an awaitable had the result of another")


async def during(length: float) -> int:
    end = time.perf_counter() + length
    count = 0
    while time.perf_counter() < end:
        await turn(count)
        count += at_once
    return count


async def main() -> None:
    await during(seconds / 5)
    wall, cpu = time.perf_counter(), time.process_time()
    count = await during(seconds)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"count": count, "wallSeconds": wall, "cpuSeconds": cpu}))


asyncio.run(main())
