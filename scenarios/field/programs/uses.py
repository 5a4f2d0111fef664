"""usage: uses.py PACKAGE: some ordinary work with a popular package, closed as its documentation says."""
import asyncio
import os
import sys
import tempfile
import threading


def numpy():
    import numpy as np

    a = np.ones((300, 300))
    assert (a @ a)[0, 0] == 300


def pyzmq():
    import zmq

    with zmq.Context() as context, context.socket(zmq.PAIR) as a, context.socket(zmq.PAIR) as b:
        port = a.bind_to_random_port("tcp://127.0.0.1")
        b.connect(f"tcp://127.0.0.1:{port}")
        b.send(b"hello")
        assert a.recv() == b"hello"


def lmdb():
    import lmdb

    with tempfile.TemporaryDirectory() as folder, lmdb.open(folder) as db:
        with db.begin(write=True) as transaction:
            transaction.put(b"a", b"1")


def uvloop():
    import uvloop

    async def main():
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    uvloop.run(main())


def aiohttp():
    from aiohttp import ClientSession, web

    async def main():
        async def hello(_):
            return web.Response(text="hello")

        app = web.Application()
        app.router.add_get("/", hello)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
            assert await response.text() == "hello"
        await runner.cleanup()

    asyncio.run(main())


def grpcio():
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
    server.stop(None).wait()
    pool.shutdown()


def gevent():
    import gevent

    assert [job.get() for job in [gevent.spawn(lambda n=n: n * 2) for n in range(10)]][-1] == 18


def watchdog():
    from watchdog.events import FileSystemEventHandler
    from watchdog.observers import Observer

    with tempfile.TemporaryDirectory() as folder:
        observer = Observer()
        observer.schedule(FileSystemEventHandler(), folder)
        observer.start()
        open(os.path.join(folder, "a"), "w").close()
        observer.stop()
        observer.join()


def apscheduler():
    from apscheduler.schedulers.background import BackgroundScheduler

    done = threading.Event()
    scheduler = BackgroundScheduler()
    scheduler.add_job(done.set)
    scheduler.start()
    done.wait()
    scheduler.shutdown()


def bcrypt():
    import bcrypt

    def work():
        assert bcrypt.checkpw(b"x", bcrypt.hashpw(b"x", bcrypt.gensalt(4)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def aiosqlite():
    import aiosqlite

    async def main():
        async with aiosqlite.connect(":memory:") as db:
            await db.execute("create table t (a)")

    asyncio.run(main())


def tokenizers():
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.train_from_iterator(["some words here"] * 100, BpeTrainer(show_progress=False))
    assert tokenizer.encode_batch(["some words"] * 10)


def orjson():
    import orjson

    assert orjson.loads(orjson.dumps({"a": [1, 2]})) == {"a": [1, 2]}


globals()[sys.argv[1]]()
