"""Scenario 5 on etcd-client-py: start, connect, exit at once."""

import asyncio
import os

from etcd_client import Client
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")


async def main() -> None:
    async with Client([ENDPOINT]).connect():
        leave()


asyncio.run(main())
