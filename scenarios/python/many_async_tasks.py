"""Scenario 7 on etcd-client-py, async tasks: 200 tasks that each put, get and delete; the exit comes while others run."""

import asyncio
import os

from etcd_client import Client
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")


async def main() -> None:
    async with Client([ENDPOINT]).connect() as etcd:

        async def task(i: int) -> None:
            key = f"scenario/many-async-tasks/{os.getpid()}/{i}".encode()
            await etcd.put(key, f"task {i}".encode())
            value = await etcd.get(key)
            if bytes(value) != f"task {i}".encode():
                raise RuntimeError(f"task {i} read {value!r}")
            await etcd.delete(key)

        await asyncio.gather(*(task(i) for i in range(200)))
        # Kept in a variable, as asyncio holds tasks only weakly.
        _running = [asyncio.create_task(task(i)) for i in range(100)]
        leave()


asyncio.run(main())
