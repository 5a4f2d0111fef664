"""An engine that isn't disposed of."""
import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine("sqlite+aiosqlite:///file:m?mode=memory&cache=shared&uri=true")


async def main():
    async with engine.connect() as connection:
        await connection.execute(text("select 1"))


asyncio.run(main())
