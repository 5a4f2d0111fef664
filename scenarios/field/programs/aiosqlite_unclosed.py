"""A connection that isn't closed."""
import asyncio

import aiosqlite


async def main():
    global db
    db = await aiosqlite.connect(":memory:")
    await db.execute("create table t (a)")


asyncio.run(main())
