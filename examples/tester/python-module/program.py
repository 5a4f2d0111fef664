"""python3 program.py MODULE: leaves in the middle of a module's calls, as people's programs do."""

import asyncio
import importlib
import os
import sys
from pathlib import Path

here = Path(__file__).resolve()
sys.path.insert(0, os.environ.get("ADDONS") or str(here.parents[3] / ".cache" / "addons"))
module = importlib.import_module(sys.argv[1])


async def main() -> None:
    pending = [module.sleep(number / 10_000) for number in range(2000)]
    await pending[300]


asyncio.run(main())
