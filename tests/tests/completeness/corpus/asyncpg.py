"""What asyncpg does: everything prepared and binary, its own cursors, COPY in binary."""
import asyncio, datetime, decimal, os, sys, uuid
import asyncpg

statements = open(sys.argv[1]).read().removesuffix('\n').split('\n%%\n')

VALUES = [
    ('text', ['a', '', "it's", 'two\nlines', 'grüße 患者 😀', None]),
    ('int2', [-3]), ('int4', [0, -2147483648]), ('int8', [2**62]), ('bool', [True, False]),
    ('float8', [1.5, -0.25]), ('float4', [0.5]), ('numeric', [decimal.Decimal('1.50'), decimal.Decimal('-123456789.0001')]),
    ('bytea', [b'', b'\0\xff']), ('uuid', [uuid.UUID(int=7)]), ('date', [datetime.date(2026, 2, 28)]),
    ('time', [datetime.time(1, 2, 3)]), ('timestamp', [datetime.datetime(2026, 1, 2, 3, 4, 5)]),
    ('timestamptz', [datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)]),
    ('interval', [datetime.timedelta(days=2, seconds=3)]), ('int4[]', [[1, 2, None]]), ('text[]', [['a', 'b c', None]]),
    ('json', ['{"a": 1}']), ('jsonb', ['{"a": 1}']),
]


async def tried(what):
    try:
        return await what
    except Exception:  # asyncpg itself falls over an empty query
        return None


async def main():
    c = await asyncpg.connect(host=os.environ['PGHOST'], port=int(os.environ['PGPORT']), user=os.environ['PGUSER'], database='clinic', ssl=False)
    for statement in statements:
        await tried(c.execute(statement))
    await tried(c.execute('rollback'))
    for statement in statements:
        await tried(c.fetch(statement))
    await tried(c.execute('rollback'))
    for kind, some in VALUES:
        for value in some * 3:
            await c.fetchval(f'select $1::{kind}', value)
    await c.execute('create table bulk(n int, s text)')
    await c.executemany('insert into bulk values ($1, $2)', [(n, None if n % 5 == 0 else f'row {n}') for n in range(100)])
    await tried(c.executemany('insert into bulk values (10 / $1, $2)', [(n, 'x') for n in (2, 1, 0, -1)]))
    await tried(c.fetch('select 1 / $1::int', 0))
    await c.copy_records_to_table('bulk', records=[(1, 'a'), (2, None)])
    with open(os.devnull, 'wb') as nowhere:
        await c.copy_from_query('select * from bulk where n > $1', 3, output=nowhere)
    async with c.transaction():
        async for _ in c.cursor('select n from bulk where n > $1', 10, prefetch=7):
            pass
        cursor = await c.cursor('select n from bulk')
        await cursor.fetch(3), await cursor.forward(2), await cursor.fetchrow()
    try:
        async with c.transaction(isolation='serializable'):
            async with c.transaction():
                await c.execute('insert into bulk values ($1, $2)', 7, 'lost')
            await c.execute('select 1/0')
    except asyncpg.PostgresError:
        pass
    await c.close()
    print('asyncpg', asyncpg.__version__)

asyncio.run(main())
