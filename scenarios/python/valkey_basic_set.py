"""Scenario 0 on valkey-glide: connect, one set, one get, then exit without closing."""

import asyncio
import os

from glide import GlideClient, GlideClientConfiguration, NodeAddress
from leave import leave

PORT = int(os.environ.get("VALKEY_PORT", "6379"))


async def main() -> None:
    client = await GlideClient.create(GlideClientConfiguration([NodeAddress("127.0.0.1", PORT)]))
    await client.set("scenario/basic-set", "hello")
    value = await client.get("scenario/basic-set")
    if value != b"hello":
        raise RuntimeError(f"read {value!r} instead of hello")
    leave()


asyncio.run(main())
