"""etcd-client-py, as the guide's table names its calls: does each and prints what came of it, a line of JSON each."""

import asyncio
import json
import sys

from etcd_client import (
    Client,
    Compare,
    CompareOp,
    CondVar,
    ConnectOptions,
    EtcdLockOption,
    Txn,
    TxnOp,
    cleanup_runtime,
)

ENDPOINT = sys.argv[1]


def say(row, outcome):
    print(json.dumps([row, outcome]), flush=True)


async def main():
    etcd = Client([ENDPOINT])
    async with etcd.connect() as c:
        await c.put(b"py/k", b"v")
        say("connect", True)
        say("put", True)
        say("get", bytes(await c.get(b"py/k")).decode())
        await c.put(b"py/a/1", b"one")
        await c.put(b"py/a/2", b"two")
        pairs = await c.get_prefix(b"py/a/")
        say("get_prefix", [[bytes(k).decode(), bytes(v).decode()] for k, v in pairs])
        keys = await c.keys_prefix(b"py/a/")
        say("keys_prefix", [bytes(k).decode() for k in keys])
        missing = Compare.version(b"py/txn", CompareOp.EQUAL, 0)
        txn = Txn().when([missing]).and_then([TxnOp.put(b"py/txn", b"v")]).or_else([TxnOp.get(b"py/txn")])
        say("txn", [(await c.txn(txn)).succeeded(), (await c.txn(txn)).succeeded()])
        below = Compare.version(b"py/a/", CompareOp.GREATER, 0).with_prefix()
        between = Compare.version(b"py/a/1", CompareOp.EQUAL, 0).with_range(b"py/a/3")
        outcomes = [(await c.txn(Txn().when([each]))).succeeded() for each in (below, between)]
        say("compare", outcomes)
        for watch in ("watch", "watch_prefix"):
            ready = CondVar()
            seen = asyncio.create_task(first(getattr(c, watch)(b"py/w", ready_event=ready)))
            await ready.wait()
            await c.put(b"py/w", watch.encode())
            say(watch, await asyncio.wait_for(seen, 10))
        # None of these gives anything back in 0.5.1, so the lease is the other side's.
        lease = int(sys.argv[2])
        say("lease_grant", await c.lease_grant(77))
        await c.lease_time_to_live(lease)
        await c.lease_keep_alive(lease)
        await c.lease_revoke(lease)
        await c.delete(b"py/k")
        await c.delete_prefix(b"py/a/")
        say("delete", len(await c.get_prefix(b"py/a/")))
    options = ConnectOptions().with_timeout(5.0).with_connect_timeout(5.0)
    options = options.with_keep_alive(10.0, 5.0).with_keep_alive_while_idle(True).with_tcp_keepalive(10.0)
    async with Client([ENDPOINT], connect_options=options).connect() as c:
        await c.put(b"py/options", b"v")
        say("options", True)
    async with etcd.with_lock(EtcdLockOption(lock_name=b"py/lock", timeout=5.0, ttl=30)):
        say("locked", True)
        # The other side says when it has tried.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    say("unlocked", True)
    user = ConnectOptions().with_user("root", "secret")
    say("user", type(user).__name__)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    async with Client([ENDPOINT], connect_options=user).connect() as c:
        say("as user", bytes(await c.get(b"py/options")).decode())


async def first(watch):
    async for event in watch:
        return [bytes(event.key).decode(), bytes(event.value).decode()]


asyncio.run(main())
cleanup_runtime()
say("cleanup_runtime", True)
