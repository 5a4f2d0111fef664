"""Scenario 0 on etcd-client-py: connect, one put, one get, then exit."""

import asyncio
import os

from etcd_client import Client
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")


async def main() -> None:
    async with Client([ENDPOINT]).connect() as etcd:
        await etcd.put(b"scenario/basic-put", b"hello")
        value = await etcd.get(b"scenario/basic-put")
        if bytes(value) != b"hello":
            raise RuntimeError(f"read {value!r} instead of hello")
        leave()


asyncio.run(main())
