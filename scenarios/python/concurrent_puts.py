"""Scenario 2 on etcd-client-py: 50 concurrent puts, then exit at once."""

import asyncio
import os

from etcd_client import Client
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")


async def main() -> None:
    async with Client([ENDPOINT]).connect() as etcd:
        puts = (etcd.put(f"scenario/concurrent-puts/{i}".encode(), f"value {i}".encode()) for i in range(50))
        await asyncio.gather(*puts)
        leave()


asyncio.run(main())
