"""python addon_gil.py ADDON: daemon threads call into an addon while its callbacks need the GIL. Falls off its end."""

import asyncio
import sys
import threading
import time

from addon import PORT, load
from work_done import work_done

addon = load(sys.argv[1])


async def call_for_ever() -> None:
    pending = []
    while True:
        # Starts something while it holds the GIL.
        pending.append(addon.sleep(60))
        await asyncio.sleep(0.0005)


def on_tick(_tick: str) -> None:
    for number in range(2000):
        number += 1


async def main() -> None:
    for _ in range(4):
        addon.subscribe(PORT, 200, on_tick)
    await asyncio.sleep(0.05)


asyncio.run(main())
for _ in range(4):
    threading.Thread(target=lambda: asyncio.run(call_for_ever()), daemon=True).start()
time.sleep(0.05)
work_done()
