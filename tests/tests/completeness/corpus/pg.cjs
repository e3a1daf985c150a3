// What Node's `pg` does: simple queries, values sent as text, named statements, rows in binary, cursors, COPY streams, a
// pipeline.
'use strict'
const fs = require('node:fs')
const { pipeline } = require('node:stream/promises')
const { Readable, Writable } = require('node:stream')
const { Client } = require('pg')
const Cursor = require('pg-cursor')
const copy = require('pg-copy-streams')

const statements = fs.readFileSync(process.argv[2], 'utf8').replace(/\n$/, '').split('\n%%\n')

const VALUES = [
  ['text', ['a', '', "it's", 'two\nlines', 'grüße 患者 😀', null, undefined]],
  ['int2', [-3]], ['int4', [0, -2147483648]], ['int8', ['4611686018427387904', 2n ** 62n]], ['bool', [true, false]],
  ['float8', [1.5, -0.25]], ['numeric', ['1.50', '-123456789.0001']],
  ['bytea', [Buffer.alloc(0), Buffer.from([0, 255, 92])]], ['uuid', ['00000000-0000-0000-0000-000000000007']],
  ['date', ['2026-02-28']], ['time', ['01:02:03']], ['timestamp', ['2026-01-02 03:04:05']],
  ['int4[]', [[1, 2, null]]], ['text[]', [['a', 'b c', null, '"']]], ['json', [{ a: 1 }]], ['jsonb', ['{"a": 1}']],
]

const tried = (what) => Promise.resolve(what).catch((error) => error)
const connect = async (options) => {
  const client = new Client(options)
  client.on('error', () => {})
  await client.connect()
  return client
}

async function all() {
  const client = await connect({})
  const wants = (statement) => [
    { text: statement },
    { text: statement, values: [] },
    { text: statement, queryMode: 'extended' },
    { text: statement, queryMode: 'extended', binary: true },
  ]
  for (const shape of [0, 1, 2, 3]) {
    for (const statement of statements) await tried(client.query(wants(statement)[shape]))
    await tried(client.query('rollback'))
  }
  for (const [kind, some] of VALUES) {
    for (const value of some) {
      for (let again = 0; again < 3; again++) {
        await client.query(`select $1::${kind}`, [value])
        await client.query({ name: `one ${kind}`, text: `select $1::${kind} as named`, values: [value] })
      }
    }
  }
  await client.query('create table bulk(n int, s text)')
  for (let n = 0; n < 50; n++) {
    await client.query({ name: 'in', text: 'insert into bulk values ($1, $2)', values: [n, n % 5 ? `row ${n}` : null] })
  }
  for (const n of [2, 1, 0, -1]) {
    await tried(client.query({ name: 'by', text: 'select 10 / $1::int', values: [n] }))
  }
  await tried(client.query('select $1::int', ['not a number']))
  await tried(client.query({ name: 'none', text: 'select * from nowhere where n = $1', values: [1] }))
  await pipeline(Readable.from(['7\tseven\n', '8\t\\N\n']), client.query(copy.from('copy bulk from stdin')))
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  await pipeline(client.query(copy.to('copy bulk to stdout')), nowhere)
  const cursor = client.query(new Cursor('select n from bulk where n > $1', [3]))
  while ((await cursor.read(7)).length > 0);
  await cursor.close()
  const early = client.query(new Cursor('select n from bulk', []))
  await early.read(2)
  await early.close()
  await client.end()
  // Many on the way at once, one of which fails.
  const many = await connect({ pipeline: true })
  const asked = []
  for (let n = 0; n < 40; n++) {
    asked.push(tried(many.query({ name: 'many', text: 'select 100 / ($1::int - 20)', values: [n] })))
    asked.push(tried(many.query('select $1::text', [`pipelined ${n}`])))
  }
  await Promise.all(asked)
  await many.end()
  console.log('pg is done')
}

all().catch((error) => {
  console.error(error)
  process.exit(1)
})
