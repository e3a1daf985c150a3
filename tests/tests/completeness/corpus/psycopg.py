"""Everything that psycopg 3 can do with a statement: simple, extended, prepared, pipelines, COPY, cursors, values."""
import datetime, decimal, os, sys, uuid
import psycopg
from psycopg.types.json import Json, Jsonb

statements = open(sys.argv[1]).read().removesuffix('\n').split('\n%%\n')


def tried(run, *arguments, **options):
    try:
        return run(*arguments, **options)
    except psycopg.Error:
        return None


def corpus(c):
    for statement in statements:
        tried(c.execute, statement)


VALUES = [
    ('text', ['a', '', "it's", 'two\nlines', 'grüße 患者 😀', ' spaces ', '\\ back', "'", "''", 'x' * 100_000, None]),
    ('int2', [-1, 32767]), ('int4', [0, -2147483648]), ('int8', [2**62, -1]),
    ('bool', [True, False]), ('float8', [1.5, -0.25, 1e100, float('inf')]), ('float4', [0.5]),
    ('numeric', [decimal.Decimal(text) for text in ('0', '1.50', '-12345678901234567890.0001', '1000', 'NaN')]),
    ('bytea', [b'', b'\0\xff\x01', b'text']),
    ('uuid', [uuid.UUID(int=7)]),
    ('date', [datetime.date(2026, 2, 28), datetime.date(1, 1, 1)]),
    ('time', [datetime.time(1, 2, 3, 4)]),
    ('timestamp', [datetime.datetime(2026, 1, 2, 3, 4, 5, 600_000)]),
    ('timestamptz', [datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)]),
    ('interval', [datetime.timedelta(days=1, seconds=2)]),
    ('int4[]', [[1, 2, None], []]), ('text[]', [['a', 'b c', '"', None, 'null']]),
    ('json', [Json({'a': [1, None, "it's"]})]), ('jsonb', [Jsonb({'a': 1})]),
]


def values(c):
    for threshold in (None, 0):
        c.prepare_threshold = threshold
        for kind, some in VALUES:
            for value in some:
                for sign in ('%s', '%t', '%b'):
                    tried(c.execute, f'select {sign}::{kind}', [value])
        c.execute('select %s::int, %b::int, %t::int, %s::text', [None, 1, 2, None])
        c.execute('select %(a)s::text || %(a)s || %(b)s', {'a': 'named', 'b': 'twice'})
        tried(c.execute, 'select 1 / %s::int', [0])
        tried(c.execute, 'select %s::int', ['not a number'])
        tried(c.execute, 'select nowhere from nowhere where a = %s', ['never bound'])
        c.cursor().executemany('insert into bulk values (%s, %s)', [(n, f'row {n}') for n in range(20)])
        c.cursor().executemany('insert into bulk values (%s, %s) returning n', [(n, None) for n in range(5)], returning=True)


def pipelines(c):
    c.prepare_threshold = 1
    with c.pipeline():
        for n in range(30):
            c.execute('select %s::int', [n])
    try:
        with c.pipeline() as pipeline:
            c.execute('select %s::int', [1])
            c.execute('select 1 / %s::int', [0])
            c.execute('select %s::int -- not run', [2])
            pipeline.sync()
            c.execute('select %s::int -- run', [3])
    except psycopg.Error:
        pass
    try:
        with c.pipeline():
            c.execute('select * from nowhere_at_all')
            c.execute('select 1 -- not run either')
    except psycopg.Error:
        pass
    c.execute('select 1 -- after the pipelines')


def copies(c):
    with c.cursor().copy('copy bulk to stdout (format binary)') as copy:
        for _ in copy:
            pass
    with c.cursor().copy('copy bulk(n) from stdin (format binary)') as copy:
        copy.set_types(['int4'])
        copy.write_row([500])
    with c.cursor().copy('copy (select n from bulk where n < %s) to stdout', [3]) as copy:
        for _ in copy:
            pass
    try:
        with c.cursor().copy('copy bulk from stdin') as copy:
            copy.write('not\ta\tgood\trow\n')
    except psycopg.Error:
        pass


def transactions(c):
    with c.transaction():
        with c.cursor('server side') as named:
            named.execute('select n from bulk where n > %s order by n', [2])
            named.fetchmany(2), named.fetchone(), named.fetchall()
        try:
            with c.transaction():
                c.execute('insert into bulk values (%s, %s)', [1, 'rolled back'])
                c.execute('select 1/0')
        except psycopg.Error:
            pass
        c.execute('select count(*) from bulk')


def names(c):
    """A name that is taken is given again, all in one go: what runs is what had it first."""
    pq = c.pgconn
    pq.enter_pipeline_mode()
    for text in (b"select 'first'", b"select 'second'", b"select 'third'"):
        pq.send_prepare(b'taken', text)
        pq.pipeline_sync()
    pq.send_query_prepared(b'taken', [])
    pq.pipeline_sync()
    while pq.flush():
        pass
    synced, seen = 0, []
    while synced < 4:
        result = pq.get_result()
        if result is not None:
            synced += result.status == psycopg.pq.ExecStatus.PIPELINE_SYNC
            seen += [result.get_value(0, 0)] if result.ntuples else []
    assert seen == [b'first'], seen
    pq.exit_pipeline_mode()


with psycopg.connect('', autocommit=True) as c:
    c.execute('create table bulk(n int, s text)')
    c.prepare_threshold = None
    corpus(c)
    corpus(psycopg.ClientCursor(c))
    # With a value bound, the extended protocol; where a statement cannot have one, the server says so.
    c.prepare_threshold = 0
    corpus(c)
    for binary in (False, True):
        cursor = c.cursor(binary=binary)
        for statement in statements:
            if '%' not in statement:
                tried(cursor.execute, statement, [], prepare=True)
    values(c)
    pipelines(c)
    copies(c)
    transactions(c)
    names(c)
    for at in range(20):
        c.execute(f'select %s::text || {at}', ['x' * 50_000 + '\n' + 'é' * 10_000])
print('libpq', psycopg.pq.version())
