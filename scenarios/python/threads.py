"""Scenario 7 on etcd-client-py, threads: four of them, each with a client; the main thread exits while they run."""

import asyncio
import os
import threading

from etcd_client import Client
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")


async def work(name: str, done: threading.Event) -> None:
    async with Client([ENDPOINT]).connect() as etcd:
        for i in range(10):
            await etcd.put(f"scenario/threads/{os.getpid()}/{name}".encode(), str(i).encode())
        done.set()
        while True:
            await etcd.put(f"scenario/threads/{os.getpid()}/{name}".encode(), b"on and on")


workers = [threading.Event() for _ in range(4)]
for number, done in enumerate(workers):
    threading.Thread(target=lambda: asyncio.run(work(str(number), done)), daemon=True).start()
    done.wait()
leave()
