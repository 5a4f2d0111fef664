"""Scenario 4 on etcd-client-py: three watches while 30 puts and gets run, then exit without ending the watches."""

import asyncio
import os

from etcd_client import Client, CondVar
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")


async def main() -> None:
    root = f"scenario/watches-and-operations/{os.getpid()}"
    keys = [f"{root}/{name}".encode() for name in "abc"]
    async with Client([ENDPOINT]).connect() as etcd:
        seen = asyncio.Event()

        async def follow(key: bytes, ready: CondVar) -> None:
            async for _event in etcd.watch(key, ready_event=ready):
                seen.set()

        ready = [CondVar() for _ in keys]
        # Kept in a variable, as asyncio holds tasks only weakly.
        _watching = [asyncio.create_task(follow(key, is_ready)) for key, is_ready in zip(keys, ready)]
        for is_ready in ready:
            await is_ready.wait()

        async def operation(i: int) -> None:
            if i % 2 == 0:
                await etcd.put(keys[i % 3], b"value")
            else:
                await etcd.get(keys[i % 3])

        await asyncio.gather(*(operation(i) for i in range(30)))
        await seen.wait()
        leave()


asyncio.run(main())
