"""Scenario 3 on etcd-client-py: five clients, one after another, an operation each."""

import asyncio
import os

from etcd_client import Client
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")


async def main() -> None:
    for i in range(5):
        async with Client([ENDPOINT]).connect() as etcd:
            await etcd.put(b"scenario/rapid-clients", f"client {i}".encode())
    leave()


asyncio.run(main())
