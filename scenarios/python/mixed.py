"""Scenario 7 on etcd-client-py, mixed: async tasks and a watch on the main thread, and a thread with calls in flight."""

import asyncio
import os
import threading

from etcd_client import Client, CondVar
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")

ROOT = f"scenario/mixed/{os.getpid()}"


async def work(started: threading.Event) -> None:
    async with Client([ENDPOINT]).connect() as etcd:
        while True:
            await asyncio.gather(*(etcd.put(f"{ROOT}/thread".encode(), b"value") for _ in range(20)))
            started.set()


async def main() -> None:
    async with Client([ENDPOINT]).connect() as etcd:
        ready = CondVar()
        seen = asyncio.Event()

        async def follow() -> None:
            async for _event in etcd.watch(f"{ROOT}/0".encode(), ready_event=ready):
                seen.set()

        # Kept in a variable, as asyncio holds tasks only weakly.
        _watching = asyncio.create_task(follow())
        await ready.wait()
        await asyncio.gather(*(etcd.put(f"{ROOT}/{i}".encode(), b"value") for i in range(50)))
        await seen.wait()
        leave()


started = threading.Event()
threading.Thread(target=lambda: asyncio.run(work(started)), daemon=True).start()
started.wait()
asyncio.run(main())
