"""Scenario 1 on etcd-client-py: a watch is open and has seen an event; then exit, without ending the watch."""

import asyncio
import os

from etcd_client import Client, CondVar
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")


async def main() -> None:
    key = f"scenario/active-watch/{os.getpid()}".encode()
    async with Client([ENDPOINT]).connect() as etcd:
        seen = asyncio.Event()
        ready = CondVar()

        async def follow() -> None:
            async for event in etcd.watch(key, ready_event=ready):
                if bytes(event.value) != b"seen":
                    raise RuntimeError(f"saw {event.value!r}")
                seen.set()

        # Kept in a variable, as asyncio holds tasks only weakly.
        _watching = asyncio.create_task(follow())
        await ready.wait()
        await etcd.put(key, b"seen")
        await seen.wait()
        leave()


asyncio.run(main())
