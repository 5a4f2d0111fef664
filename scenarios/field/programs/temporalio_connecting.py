# Clients still connect, to a port where nobody listens, while the interpreter ends.
import asyncio

from temporalio.client import Client


async def main():
    tasks = [asyncio.create_task(Client.connect("127.0.0.1:1")) for _ in range(8)]
    await asyncio.sleep(0.02)
    return tasks


loop = asyncio.new_event_loop()
left = loop.run_until_complete(main())
