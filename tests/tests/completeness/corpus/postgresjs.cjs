// What postgres.js does: everything prepared and on the way at once, simple queries, cursors, COPY, savepoints.
'use strict'
const fs = require('node:fs')
const { pipeline } = require('node:stream/promises')
const { Readable, Writable } = require('node:stream')
const postgres = require('postgres')

const statements = fs.readFileSync(process.argv[2], 'utf8').replace(/\n$/, '').split('\n%%\n')
const tried = (what) => what.then(() => null, (error) => error)

const VALUES = [
  ['text', ['a', '', "it's", 'two\nlines', 'grüße 患者 😀', null]], ['int4', [0, -2147483648]], ['int8', ['4611686018427387904']],
  ['bool', [true, false]], ['numeric', ['1.50']], ['bytea', [Buffer.from([0, 255, 92])]],
  ['timestamptz', [new Date('2026-01-02T03:04:05Z')]], ['int4[]', [[1, 2, 3]]], ['jsonb', [{ a: 1 }]],
]

async function all() {
  const options = {
    host: process.env.PGHOST, port: Number(process.env.PGPORT), database: 'clinic', max: 1, onnotice: () => {}, idle_timeout: 0,
  }
  const sql = postgres(options)
  // Simple: no values.
  for (const statement of statements) await tried(sql.unsafe(statement).simple())
  await tried(sql.unsafe('rollback').simple())
  // Unnamed, then named.
  for (const prepare of [false, true, true]) {
    for (const statement of statements) await tried(sql.unsafe(statement, [], { prepare }))
    await tried(sql.unsafe('rollback').simple())
  }
  for (const [kind, some] of VALUES) {
    for (const value of some) {
      for (let again = 0; again < 3; again++) await sql`select ${value}::${sql.unsafe(kind)} as one`
    }
  }
  await sql`create table bulk(n int, s text)`
  const rows = Array.from({ length: 50 }, (_, n) => ({ n, s: n % 5 ? `row ${n}` : null }))
  await sql`insert into bulk ${sql(rows, 'n', 's')}`
  await tried(Promise.all(rows.map(({ n }) => sql`update bulk set s = ${`new ${n}`} where n = ${n}`)))
  await Promise.all(rows.map(({ n }) => tried(sql`select 100 / (${n}::int - 20)`)))
  await tried(sql`select * from nowhere where n = ${1}`)
  for await (const some of sql`select n from bulk where n > ${3}`.cursor(7)) if (some.length === 0) break
  await sql`select n from bulk`.cursor(5, () => sql.CLOSE)
  await pipeline(Readable.from(['7\tseven\n', '8\t\\N\n']), await sql`copy bulk from stdin`.writable())
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  await pipeline(await sql`copy bulk to stdout`.readable(), nowhere)
  await tried(sql.begin('isolation level serializable', async (tx) => {
    await tx`insert into bulk values (${7}, ${'kept'})`
    await tried(tx.savepoint('inner', async (inner) => {
      await inner`insert into bulk values (${8}, ${'lost'})`
      await inner`select 1 / 0`
    }))
    await tx`select count(*) from bulk`
  }))
  await sql.end()
  console.log('postgres.js is done')
}

all().catch((error) => {
  console.error(error)
  process.exit(1)
})
