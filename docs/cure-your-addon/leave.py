"""python leave.py ADDON: leaves in the middle of calls, as people's programs do."""

import asyncio
import importlib
import sys

addon = importlib.import_module(sys.argv[1])


async def main() -> None:
    pending = [addon.sleep(number / 10_000) for number in range(2000)]
    await pending[300]


asyncio.run(main())
