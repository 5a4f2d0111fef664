"""A channel of asyncio's that nobody answers, given up."""
import asyncio

import grpc


async def main():
    channel = grpc.aio.insecure_channel("127.0.0.1:1")
    try:
        await asyncio.wait_for(channel.channel_ready(), timeout=0.5)
    except asyncio.TimeoutError:
        print("nobody answers")


asyncio.run(main())
