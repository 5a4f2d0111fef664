"""Scenario 6: etcd-client-py and valkey-glide in one process; then exit without closing valkey-glide's client."""

import asyncio
import os

from etcd_client import Client
from glide import GlideClient, GlideClientConfiguration, NodeAddress
from leave import leave

ENDPOINT = os.environ.get("ETCD_ENDPOINTS", "http://127.0.0.1:2379")
PORT = int(os.environ.get("VALKEY_PORT", "6379"))


async def main() -> None:
    async with Client([ENDPOINT]).connect() as etcd:
        valkey = await GlideClient.create(GlideClientConfiguration([NodeAddress("127.0.0.1", PORT)]))
        for i in range(10):
            await etcd.put(b"scenario/cross-library", str(i).encode())
            await valkey.set("scenario/cross-library", str(i))
        if bytes(await etcd.get(b"scenario/cross-library")) != b"9":
            raise RuntimeError("etcd lost a write")
        if await valkey.get("scenario/cross-library") != b"9":
            raise RuntimeError("valkey lost a write")
        leave()


asyncio.run(main())
