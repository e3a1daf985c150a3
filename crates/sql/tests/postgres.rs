//! What is read of usual, odd and hostile statements.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, time::Instant};

use hoop_sql::{
    Class, Dialect, Objects, Statement, Text, Wanted,
    postgres::{Mode, is_harmless_setting, read},
};
use proptest::prelude::*;

fn one(text: &str) -> Statement {
    let reading = read(text.as_bytes(), Mode::default());
    assert_eq!(reading.statements.len(), 1, "{text}: {reading:?}");
    reading.statements.into_iter().next().unwrap()
}

fn worst(text: &str) -> Class {
    let reading = read(text.as_bytes(), Mode::default());
    reading.statements.iter().map(Statement::worst).max().unwrap()
}

#[test]
fn classes_of_what_people_write() {
    use Class::{Ddl, Privilege, Read, Server, Session, Write};
    for (class, texts) in [
        (
            Session,
            &[
                "begin",
                "BEGIN ISOLATION LEVEL SERIALIZABLE",
                "commit",
                "rollback to savepoint a",
                "release a",
                "abort",
                "end",
                "set statement_timeout = '5s'",
                "SET search_path TO clinic, public",
                "set local work_mem to '64MB'",
                "set time zone 'UTC'",
                "set transaction read only",
                "set session characteristics as transaction read only",
                "reset all",
                "reset search_path",
                "discard all",
                "listen x",
                "deallocate all",
                "set datestyle to iso, dmy",
                "start transaction",
            ][..],
        ),
        (
            Read,
            &[
                "select 1",
                "SELECT * FROM patients WHERE id = $1",
                "table patients",
                "values (1), (2)",
                "(select 1)",
                "((select 1) union (select 2))",
                "with a as (select 1) select * from a",
                "show all",
                "explain select 1",
                "explain (analyze, format json) select * from patients",
                "fetch 10 from c",
                "close c",
                "declare c cursor for select * from patients",
                "prepare p as select 1",
                "execute p(1, 'x')",
                "copy patients to stdout",
                "copy (select * from patients) to stdout with csv",
                "select now(), count(*), lower(name), to_char(born, 'YYYY') from patients group by name, born",
                "select coalesce(a, b), extract(year from born), substring(name from 1 for 2) from patients",
                "select x.delete, x.update from changes x",
                "select 'delete from patients'",
                "select 1 -- delete from patients",
                "select a::varchar(10), b::numeric(10, 2) from t",
                "select array[1, 2], row(1, 2), interval '1 day'",
                "select jsonb_agg(to_jsonb(p)) from patients p",
                "select * from generate_series(1, 3) g",
                "select n, sum(n) over (partition by m order by n rows between 1 preceding and current row) from t",
                "select pg_catalog.version()",
                "select * from unnest(array[1, 2]) with ordinality as u(a, b)",
                "select random(), gen_random_uuid()",
                "select * from patients tablesample system (1)",
            ],
        ),
        (
            Write,
            &[
                "insert into t values (1)",
                "insert into t(a, b) select 1, 2",
                "update t set a = 1",
                "delete from t",
                "merge into t using s on t.a = s.a when matched then delete",
                "truncate t",
                "lock table t",
                "notify x",
                "copy t(a, b) from stdin",
                "select * from t for update",
                "select * from t for no key update",
                "select * from t for share",
                "select * from t for key share",
                "with d as (delete from t returning *) select * from d",
                "explain analyze delete from t",
                "prepare p as update t set a = 1",
                "copy (delete from t returning *) to stdout",
                "declare c cursor for select * from t for update",
                "prepare transaction 'x'",
                "commit prepared 'x'",
                "insert into t values (1) on conflict (a) do update set a = 2",
            ],
        ),
        (
            Ddl,
            &[
                "create table t (a int)",
                "create temp table t as select 1",
                "select * into t from s",
                "drop table if exists t",
                "alter table t add column a int",
                "create index concurrently on t (lower(a))",
                "vacuum full t",
                "analyze",
                "comment on table t is 'x'",
                "create or replace view v as select 1",
                "create materialized view v as select 1",
                "refresh materialized view v",
                "reindex table t",
                "cluster t",
                "create schema s",
                "create sequence s",
                "explain analyze create table t as select 1",
                "explain (analyze, verbose) create materialized view v as select 1",
                "explain analyze verbose refresh materialized view v",
                "create function f() returns int language sql as $$ select 1 $$",
                "create trigger x after insert or update on t execute function f()",
                "create table t (a int references s on delete cascade)",
                "drop view v",
                "alter index i rename to j",
            ],
        ),
        (
            Privilege,
            &[
                "grant select on t to bob",
                "revoke all on t from bob",
                "create role r",
                "alter user u password 'x'",
                "drop role r",
                "set role admin",
                "set session authorization admin",
                "set local role admin",
                "reset role",
                "reassign owned by a to b",
                "drop owned by a",
                "alter table t owner to bob",
                "create policy p on t for insert with check (true)",
                "alter table t disable row level security",
                "alter default privileges grant select on tables to bob",
                "create function f() returns int security definer language sql as 'select 1'",
                "security label on table t is 'x'",
                "create schema s authorization bob",
                "create schema s create table t (a int) grant select on t to bob",
                "create group g",
                "SET SESSION ROLE admin",
            ],
        ),
        (
            Server,
            &[
                "do $$ begin delete from t; end $$",
                "call p()",
                "alter system set a = 1",
                "copy t to program 'sh'",
                "copy t from '/etc/passwd'",
                "copy t to '/tmp/x'",
                "create database d",
                "drop database d",
                "create extension x",
                "create server s foreign data wrapper w",
                "load 'x'",
                "checkpoint",
                "create foreign data wrapper w",
                "create subscription s",
                "create publication p",
                "create language l",
                "create user mapping for a server s",
                "import foreign schema s from server x into t",
                "create event trigger e on ddl_command_start execute function f()",
                "create tablespace t location '/x'",
                "create function f() returns int language c as 'x'",
                "create function f() returns int language plpython3u as 'x'",
                "select pg_read_file('/etc/passwd')",
                "select lo_import('/etc/passwd')",
                "select my_function(1)",
                "select * from dblink('x', 'y') as t(a int)",
                "select pg_terminate_backend(1)",
                "select set_config('role', 'admin', false)",
                "select query_to_xml('delete', true, true, '')",
                "select table_to_xml('t', true, true, '')",
                "select other.lower('x')",
                "set standard_conforming_strings = off",
                "set client_encoding = 'SJIS'",
                "set names 'SJIS'",
                "set search_path = evil, pg_catalog",
                "set search_path = 'evil', 'pg_catalog'",
                "set search_path = \"evil\", \"pg_catalog\"",
                "set \"role\" = 'admin'",
                "set session_replication_role = replica",
                "set custom.thing = 1",
                "reset client_encoding",
                "frobnicate the table",
                "(drop table t)",
                "1",
                ";;;1",
                "\"select\" 1",
                "insert into t values (my_function())",
                "update t set a = nextval('s')",
                "select f.g(1)",
                "explain analyze frobnicate",
            ][..],
        ),
    ] {
        for text in texts {
            let found = worst(text);
            assert_eq!(found, class, "{text}: {:?}", read(text.as_bytes(), Mode::default()).statements);
        }
    }
}

#[test]
fn tables_are_known_or_anything() {
    let known = |text: &str| match one(text).tables {
        Objects::Known(tables) => tables.iter().map(ToString::to_string).collect::<Vec<_>>(),
        Objects::Unknown => vec!["?".to_owned()],
    };
    for (text, tables) in [
        ("select 1", &[][..]),
        ("select * from patients p, clinic.visits v where p.id = v.patient", &["patients", "clinic.visits"]),
        ("select * from Patients join \"Visits\" on true", &["Visits", "patients"]),
        ("select * from only (patients)", &["patients"]),
        (
            "select (select max(id) from notes) from patients where id in (select p from visits)",
            &["notes", "patients", "visits"],
        ),
        ("with p as (select * from patients) select * from p", &["patients"]),
        ("with patients as (select * from patients) select * from patients", &["patients"]),
        ("with a as (select 1), b as (select * from a) select * from b", &[]),
        ("with recursive t as (select 1 union all select * from t) select * from t", &[]),
        ("with a as (select * from b), b as (select 1) select * from a", &["b"]),
        ("with t as (select 1) insert into t select * from t", &["t"]),
        ("with t as (select 1) update t set a = 1", &["t"]),
        ("with t as (select 1) delete from t", &["t"]),
        ("select * from (select * from (select * from deep) a) b", &["deep"]),
        ("insert into notes(a) select a from visits", &["notes", "visits"]),
        ("update a set x = b.x from b where a.id = b.id", &["a", "b"]),
        ("delete from a using b where a.id = b.id", &["a", "b"]),
        ("copy patients to stdout", &["patients"]),
        ("copy clinic.patients (a, b) from stdin", &["clinic.patients"]),
        ("select extract(year from born) from patients where a is distinct from b", &["patients"]),
        ("select * from generate_series(1, 3) g", &[]),
        (
            "select * from patients p left join lateral (select * from visits) v on true",
            &["patients", "visits"],
        ),
        ("table patients", &["patients"]),
        ("explain select * from patients", &["patients"]),
        ("create table if not exists a as select * from patients", &["a", "patients"]),
        ("select * from db.clinic.patients", &["clinic.patients"]),
        ("select 1 from U&\"\\0070atients\"", &["patients"]),
        ("begin", &[]),
        ("create view v as table patients frobnicated", &["?"]),
        ("drop table patients", &["?"]),
        ("do $$ $$", &["?"]),
    ] {
        let expected: BTreeSet<_> = tables.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(known(text).into_iter().collect::<BTreeSet<_>>(), expected, "{text}");
    }
    let mentions = |text: &str| one(text).mentions.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(mentions("drop table if exists billing.claims").contains(&"billing.claims".to_owned()));
    assert!(mentions("table patients").contains(&"patients".to_owned()));
}

/// Its tables by its words; nothing where they do not say it.
fn tables_by_words(text: &str) -> Option<BTreeSet<String>> {
    let wanted = Wanted { spelling: false, answer: false, mentions: false, columns: false };
    let reading = Text::new(text.as_bytes(), Dialect::Postgres(Mode::default())).by_words(wanted)?;
    let mut tables = BTreeSet::new();
    for statement in reading.statements {
        let Objects::Known(known) = statement.tables else { return None };
        tables.extend(known.iter().map(ToString::to_string));
    }
    Some(tables)
}

#[test]
fn words_alone_tell_where_tables_may_stand() {
    for (text, tables) in [
        (
            "select a, b from c, d.e as x (k, l), only f, only (g), h*, (select i, j from k) where m in (n, o)",
            &["c", "d.e", "f", "g", "h", "k"][..],
        ),
        ("select * from a join b on a.x = b.x join c using (id, at), d", &["a", "b", "c", "d"]),
        (
            "select * from (a join b on f(a.x, b.y) cross join (c join d on true)), e",
            &["a", "b", "c", "d", "e"],
        ),
        ("select * from a, lateral (select 1 from b) x, lateral f(a.x, y) z, g(1), c", &["a", "b", "c"]),
        ("select * from rows from (f(1), g(2)) as t (a, b), c", &["c"]),
        ("select * from (values (1, x), (2, y)) v, t", &["t"]),
        ("select * from a union select x, y from b order by c, d limit e", &["a", "b"]),
        ("select x from a group by b, c having d window w as (order by e), v as () offset f", &["a"]),
        ("select * from a for no key update of a, b", &["a"]),
        ("table a union table b", &["a", "b"]),
        (
            "insert into a.b (c, d) select e, f from g, h on conflict (i) do update set j = 1, k = 2 returning l, m",
            &["a.b", "g", "h"],
        ),
        ("insert into temp (a) values (b)", &["temp"]),
        ("update only a set b = 1, c = 2 from d, e where f returning g, h", &["a", "d", "e"]),
        ("update set set a = 1", &["set"]),
        ("update update set a = 1", &["set", "update"]),
        ("delete from a using b, (c join d on true) where e", &["a", "b", "c", "d"]),
        (
            "merge into a using b on c when matched then update set d = 1, e = 2 when not matched then insert (f, g) values (h, i)",
            &["a", "b"],
        ),
        (
            "select extract(year from a), trim(both from b), substring(c from 1), c is not distinct from d from e",
            &["e"],
        ),
        ("insert into trim (select * from a)", &["a", "trim"]),
        ("insert into trim (with w as (select 1) select * from a)", &["a", "trim"]),
        ("insert into s.trim (select * from a)", &["a", "s.trim"]),
        ("select 1 as distinct from a", &["a"]),
        ("select a.is distinct from b", &["b"]),
        ("select (a).is distinct from b", &["b"]),
        ("select * from a join b on collation for (a.x) = 'C', c", &["a", "b", "c"]),
        ("select * from a join b on case when x then update end, c", &["a", "b", "c"]),
        ("select * from a join b on a.where = b.limit, c", &["a", "b", "c"]),
        ("select * from a join b on (a).where, c", &["a", "b", "c"]),
        ("select * from a join b on a.x[1, 2], c", &["a", "b", "c"]),
        ("select * from a set, b values, c", &["a", "b", "c"]),
        ("select * from a x, \"where\", b", &["a", "where", "b"]),
        ("select * from /* , */ a, -- where\n b", &["a", "b"]),
        ("select 1 from update, b", &["update", "b"]),
        ("with w as (select * from a) select * from w, b where c in (select d from w)", &["a", "b"]),
        (
            "with recursive w (k, l) as not materialized (select * from w, a), v as (select * from w) table v",
            &["a", "v"],
        ),
        (
            "with recursive w as (select * from v join w on true), v as (select * from s.w) insert into w select * from w",
            &["s.w", "w"],
        ),
        ("select * from (with recursive a as (select * from a) select * from a) b, a", &["a"]),
        ("with recursive as (select * from recursive, a) select * from recursive", &["a", "recursive"]),
        ("with recursive a as (select * from a) search depth first by x set y select * from a", &[]),
        (
            "with recursive a as (select 1) cycle x set y using a, b as (select * from b) select * from b",
            &["b"],
        ),
        ("with a as (select * from b), b as (select 1) select * from a, b, s.a", &["b", "s.a"]),
        ("with a as (select 1) insert into a select * from a", &["a"]),
        ("with a as (select 1) delete from a", &["a"]),
        ("with a as (select 1) delete from b using a", &["b"]),
        ("with a as (select 1) update a set b = 1", &["a"]),
        ("(with a as (select 1) select 1) union select * from a", &["a"]),
        ("select x with (a as (select 1)), b from a", &["a"]),
        ("with a as (with b as (select 1) select 1) select * from b, a", &["b"]),
        ("select * from (with a as (select * from b) select * from a, c) d, a", &["a", "b", "c"]),
        ("select * from a where c in (with a as (select * from a) select * from a)", &["a"]),
        (
            "select * from (with b as (select 1), c as (select 2 from b) (select 1 from c) union (select 2 from b)) d",
            &[],
        ),
        ("with b as (with a as (select 1) delete from a returning c) select * from b", &["a"]),
        ("copy a.b (c, d) to stdout", &["a.b"]),
        ("copy binary a to stdout", &["a"]),
        ("copy (select * from a, b) to stdout", &["a", "b"]),
        ("explain analyze select * from a, b", &["a", "b"]),
        ("prepare p as delete from a using b", &["a", "b"]),
        ("declare c cursor for select * from a, b", &["a", "b"]),
        ("begin; select 1; select * from a", &["a"]),
        ("explain with a as (select * from b) select * from a", &["b"]),
        ("explain (analyze, costs off) with a as (select * from b) select * from a", &["b"]),
        ("explain analyze verbose with a as (select * from b) select * from a", &["b"]),
        ("explain select * from a where b = any (select 1) with a as (select 1) select * from a", &["a"]),
        ("insert into a (b) with a as (select * from c) select * from a", &["a", "c"]),
        ("prepare p (int) as with a as (select * from b) select * from a", &["b"]),
        ("declare c scroll cursor with hold for with a as (select * from b) select * from a", &["b"]),
        ("select * from f(1) with ordinality as a (b, c), a", &["a"]),
        ("select 1 with a as (select 1) select * from a", &["a"]),
        ("create table a as select * from b, c", &["a", "b", "c"]),
        ("create unlogged table s.a as with b as (select * from c) select * from b", &["s.a", "c"]),
        ("create table if not exists a as values (1), ((select b from c))", &["a", "c"]),
        ("select * into temp a from b, c", &["a", "b", "c", "temp"]),
    ] {
        let found = tables_by_words(text).unwrap();
        let expected: BTreeSet<_> = tables.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found, expected, "{text}");
    }
    for text in [
        "create table a (like b) with (fillfactor = 70)",
        "create table a (c int references b check (c in (select 1)))",
        "create table a as execute p",
        "create view a as select * from b",
        "explain create table a as select * from b",
        "create s.table a as select * from b",
        "execute p(1)",
        "explain execute p",
        "drop table a",
    ] {
        assert_eq!(tables_by_words(text), None, "{text}");
    }
}

#[test]
fn words_are_certain_only_where_they_cannot_say_too_much() {
    let is_certain = |text: &str| {
        let wanted = Wanted { spelling: false, answer: false, mentions: false, columns: false };
        let text = Text::new(text.as_bytes(), Dialect::Postgres(Mode::default()));
        text.by_words(wanted).unwrap().statements.iter().all(|statement| statement.is_certain)
    };
    for text in [
        "select a from b where c = f(d)",
        "with a as (select 1) select f(1), g(2) from a, h(3) join lateral i(4) on j(5)",
        "with recursive a (b) as (select 1 union all select b from a) select * from a",
        "explain analyze with a as (select 1) select * from a",
        "select now() at time zone 'UTC', '1'::timestamp with time zone from a",
        "create temp table if not exists a as select b from c",
        "create table a as with b as (select f(1)) select * from b, c",
        "create temp table a as select b from c",
        "begin",
        "drop table a",
    ] {
        assert!(is_certain(text), "{text}");
    }
    for text in [
        "with w as (select 1) table w",
        "with recursive w as (select 1) insert into w select * from w",
        "merge into a using b on c when not matched then insert (d) values (e)",
        "select a from b group by rollup (a), cube (c)",
        "select a from b group by grouping sets ((a), ())",
        "select a from b tablesample system (10)",
        "select a with (b as (select 1)) from c",
        "with a as (select 1) search depth first by b set c select * from a",
        "select a x (b) from c",
    ] {
        assert!(!is_certain(text), "{text}");
    }
}

#[test]
fn names_before_a_parenthesis_are_called() {
    let called = |text: &str| {
        let wanted = Wanted { spelling: false, answer: false, mentions: false, columns: false };
        let text = Text::new(text.as_bytes(), Dialect::Postgres(Mode::default()));
        let reading = text.by_words(wanted).unwrap();
        reading.statements[0].unknown_functions.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (text, functions) in [
        ("insert into t (a) values (lower(b)) on conflict (a, b) do nothing", &[][..]),
        ("select 1 from a join b on conflict(x) where y", &["conflict"]),
        ("select count(*) filter (where a) over (partition by b), cast(a as mine(3)) from f as g (a)", &[]),
        ("select case when (a) then (b) else (c) end, a and (b), numeric(3) '1', current_date", &[]),
        ("select over(1)", &["over"]),
        ("select distinct on (a) over(b) from t", &["over"]),
        ("select 1 operator(pg_catalog.+) filter(2)", &["filter", "operator"]),
        (
            "select within(1), \"coalesce\"(2), \"in\"(3), s.coalesce(4)",
            &["coalesce", "in", "within", "s.coalesce"],
        ),
        ("select pg_catalog.lower(a), public.lower(b)", &["public.lower"]),
        ("select x.into f(1), x.as g(2)", &["f", "g"]),
        ("with recursive a (b) as (select 1), c (d, e) as not materialized (select 1) select * from a", &[]),
        ("with a (b) as (select c(1)) select a(2), b(3)", &["a", "b", "c"]),
        ("select * from a b (c), (select 1) d (e), (values (1)) as f (g), only (h) i (j)", &[]),
        (
            "select * from a join (select 1) b on true left join (select 2) c on (b.x) join (select 3) d on b.x = 1 join (e join f on true) on true",
            &[],
        ),
        ("select * from a b join (select 1) c using (d) cross join (select 1) d", &[]),
        ("select distinct on (a) join(b) from t", &["join"]),
        ("select join(1), a from t where join(2) order by join(3)", &["join"]),
        ("select 1 operator(pg_catalog.+) join(2)", &["join", "operator"]),
        ("select x between join(1) and 2, case when a then join(b) end", &["join"]),
        ("update a set (b, c) = (1, 2) where d = 1", &[]),
        ("select a from b where set(1) = 2", &["set"]),
        ("explain (costs off) select f(1)", &["f"]),
        ("copy (select f(1)) to stdout", &["f"]),
        ("prepare p (int) as select f($1)", &["f"]),
    ] {
        let expected: Vec<String> = functions.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(called(text), expected, "{text}");
        if !functions.is_empty() && !text.contains("operator") && !text.contains("x.") {
            assert_eq!(worst(text), Class::Server, "{text}");
        }
    }
}

/// What is named of a table `t`, and whether more may be meant.
fn columns_of(text: &str) -> (Vec<String>, bool) {
    let columns = one(text).columns;
    let told = |column: &hoop_sql::Column| match &column.of {
        Some(of) => format!("{of}.{}", column.name),
        None => column.name.clone(),
    };
    let mut named: Vec<_> = columns.named.iter().map(told).collect();
    named.sort();
    (named, columns.whole_rows)
}

/// A `WITH` that is none hides no call: the label of a column, `WITH ORDINALITY`.
#[test]
fn what_only_looks_like_a_with_hides_no_call() {
    for text in [
        "create table t as select c, 1 as with from (select 2) as materialized (a), dblink('x', 'y') as (c text)",
        "prepare p as select c, 1 as with from (select 2) as materialized (a), dblink('x', 'y') as (c text)",
        "insert into t select c from generate_series(1, 1) with ordinality as materialized (a, b), dblink('x', 'y') as (c text)",
        "explain select c from generate_series(1, 1) with ordinality as materialized (a, b), dblink('x', 'y') as (c text)",
        "insert into t select c, 1 as with from (select 2) as not (a), dblink('x', 'y') as (c text)",
        "declare d cursor for select c, 1 as for, 2 as with from (select 2) as materialized (a), dblink('x', 'y') as (c text)",
    ] {
        let wanted = Wanted { spelling: false, answer: false, mentions: false, columns: false };
        let cut = Text::new(text.as_bytes(), Dialect::Postgres(Mode::default()));
        let calls = |reading: &hoop_sql::Reading| {
            reading
                .statements
                .iter()
                .any(|one| one.unknown_functions.iter().any(|name| name.name == "dblink"))
        };
        assert!(cut.by_words(wanted).is_none_or(|reading| calls(&reading)), "{text}");
        assert!(calls(&cut.parsed()), "{text}");
    }
}

#[test]
fn columns_are_what_is_surely_nothing_else() {
    for (text, named) in [
        (
            "select a, p.b as c, \"D\", s.t.e from s.t p where f between 1 and 2 group by g order by h desc",
            &["D", "a", "f", "g", "h", "p.b", "t.e"][..],
        ),
        ("select count(*), a * 2, (b) * c, lower(d)::text, date '2020-01-01' from t", &["a", "b", "c", "d"]),
        (
            "select extract(year from a), sum(b) over (partition by c order by d) from t",
            &["a", "b", "c", "d"],
        ),
        ("with w as (select a from t) select w.b from w", &["a", "w.b"]),
        ("select x.a from (select b from t) as x where c in (select d from u)", &["b", "c", "d", "x.a"]),
        (
            "insert into t (a, b) values (1, $1) on conflict (c) do update set d = excluded.e returning f",
            &["a", "b", "c", "d", "excluded.e", "f"],
        ),
        ("update t p set a = 1 where p.b = 2", &["a", "p.b"]),
        ("delete from t where a is not null", &["a"]),
        ("copy t (a, b) to stdout", &["a", "b", "stdout"]),
        ("select (t.a).b, t.c[1].d from t", &["b", "d", "t.a", "t.c"]),
        ("select case when a then update end from t", &["a", "update"]),
        ("select a b, time, values, user from t", &["a", "b", "time", "values"]),
        ("select update set from t", &["update"]),
        ("begin", &[]),
    ] {
        let expected: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(columns_of(text), (expected, false), "{text}");
    }
}

#[test]
fn rows_as_a_whole_are_seen() {
    for text in [
        "select * from t",
        "select distinct on (a) * from t",
        "select all * from t",
        "select a, t.* from t",
        "select p.* from t p",
        "select p from t p",
        "select p from t as p",
        "select p from t*p",
        "select p from only (t) p",
        "select p from only (t) as p",
        "select to_jsonb(t) from t",
        "select s.t from s.t",
        "select \"t\"::text from t",
        "select (p).a, p is null from t p",
        "select row(p.*) from t p",
        "select count(p) from t p",
        "select j from (t join u on true) j",
        "select c from t as p (a, b, c)",
        "select c from t p(a, b, c)",
        "select c from (t join u on true) as j (a, b, c)",
        "table t",
        "select 1 union all table t",
        "select a from t natural join u",
        "insert into t values (1)",
        "insert into t select a from u",
        "insert into t (a) values (1) returning *",
        "insert into t (a) values (1) on conflict (a) do update set b = excluded::text",
        "insert into t (a) values (1) returning old, new",
        "delete from t returning t",
        "update t set set = 1",
        "update t set (a, b) = (1, 2)",
        "merge into t using u on a when not matched then insert values (1)",
        "copy t to stdout",
        "copy (select * from t) to stdout",
        "with w as (select * from t) select a from w",
        "create table u as select a from t",
        "create index on t (a)",
        "drop table t",
        "select '",
        "do $$ $$",
    ] {
        assert!(columns_of(text).1, "{text}");
    }
}

#[test]
fn a_where_bounds_if_it_names_a_column() {
    for (text, unbounded) in [
        ("update t set a = 1", true),
        ("update t set a = 1 where true", true),
        ("update t set a = 1 where 1 = 1", true),
        ("update t set a = 1 where $1", true),
        ("update t set a = 1 where id = 7", false),
        ("update t set a = 1 where t.id = $1", false),
        ("delete from t", true),
        ("delete from t where id = any($1)", false),
        ("with d as (delete from t returning *) select * from d where id = 1", true),
        ("with d as (delete from t where id = 1 returning *) select * from d", false),
        ("explain analyze update t set a = 1", true),
        ("prepare p as delete from t", true),
        ("truncate t", true),
        ("merge into t using s on true when matched then delete", true),
        ("merge into t using s on t.a = s.a when matched then delete", false),
        ("select * from t", false),
        ("insert into t values (1)", false),
        ("do $$ $$", true),
        ("begin", false),
    ] {
        assert_eq!(one(text).unbounded, unbounded, "{text}");
    }
}

#[test]
fn words_alone_tell_what_surely_bounds() {
    let wanted = Wanted { spelling: false, answer: false, mentions: false, columns: false };
    for (text, unbounded) in [
        ("update t set a = 1 where id = 7 and b", false),
        ("update t set a = 1 from u where t.id >= u.\"x\" returning a", false),
        ("delete from t where \"Id\" <> $1", false),
        ("update t set a = 1", true),
        ("update t set a = (select 1 from u where id = 7)", true),
        ("update t set a = 1 where true", true),
        ("update t set a = 1 where 1 between - 1 and 2", true),
        ("update t set a = 1 where current_user = 'x'", true),
        ("update t set a = 1 where current_schema = 'x'", true),
        ("update t set a = 1 where '1' is json = true", true),
        ("update t set a = 1 where now() = $1", true),
        ("delete from t using x.where where true", true),
        ("with d as (delete from t) update t set a = 1 where id = 7", true),
        ("update t set a = 1 where id = (with d as (delete from t returning b) select b from d)", true),
        ("explain analyze update t set a = 1 where id = 7", true),
        ("truncate t", true),
    ] {
        let reading =
            Text::new(text.as_bytes(), Dialect::Postgres(Mode::default())).by_words(wanted).unwrap();
        assert_eq!(reading.statements[0].unbounded, unbounded, "{text}");
    }
}

#[test]
fn a_text_is_split_where_the_server_splits_it() {
    let count = |text: &str| read(text.as_bytes(), Mode::default()).statements.len();
    assert_eq!(count(""), 0);
    assert_eq!(count(" ; ;; -- nothing\n /* ; */ "), 0);
    assert_eq!(count("select 1; select ';'; select \";\"; select $$;$$"), 4);
    assert_eq!(count("create rule r as on insert to t do also (delete from a; delete from b)"), 1);
    assert_eq!(worst("select 1; drop table t"), Class::Ddl);
    assert_eq!(worst(&format!("{}drop table t", "select 1;".repeat(10_000))), Class::Ddl);
}

#[test]
fn what_cannot_be_read_may_be_anything() {
    for text in [&b"select '"[..], b"select 1 \0", b"select '\xff'", b"/* ", b"select U&\"!\" uescape '!'"] {
        let reading = read(text, Mode::default());
        assert!(reading.unreadable.is_some());
        let statement = &reading.statements[0];
        assert_eq!(
            (statement.worst(), statement.is_opaque, &statement.tables),
            (Class::Server, true, &Objects::Unknown)
        );
    }
}

#[test]
fn start_up_settings_that_change_the_session_alone() {
    for (name, value, harmless) in [
        ("DateStyle", "ISO", true),
        ("extra_float_digits", "3", true),
        ("search_path", "clinic, public", true),
        ("search_path", "evil, PG_CATALOG", false),
        ("client_encoding", "UTF8", true),
        ("client_encoding", "SJIS", false),
        ("standard_conforming_strings", "off", false),
        ("role", "admin", false),
        ("options", "-c statement_timeout=7s --work-mem=4MB", true),
        ("options", "-cgeqo=off", true),
        ("options", "-c role=admin", false),
        ("options", "-c geqo=off -c standard_conforming_strings=off", false),
        ("options", "-c search_path=a\\ b", false),
        ("options", "-d 5", false),
        ("options", "-c options=-crole=x", false),
        ("", "", false),
    ] {
        assert_eq!(is_harmless_setting(name, value), harmless, "{name}={value}");
    }
}

#[test]
fn one_spelling() {
    for (text, normal) in [
        (
            "SELECT  *\nFROM Patients -- x\nWHERE name='o''hara' AND id>=7",
            "select * from patients where name = ? and id >= ?",
        ),
        ("select a::text,b.c,f( 1 ),\"Odd Name\"[2]", "select a :: text, b.c, f(?), \"Odd Name\"[?]"),
        ("select 5 - - 3, a->>'x'", "select ? - - ?, a ->> ?"),
    ] {
        assert_eq!(one(text).normal, normal);
    }
}

/// Time grows with the text, whatever stands in it; none overflows a worker's stack.
#[test]
fn hostile_texts_are_read_in_bounded_time() {
    let chain = format!("select {}1", "1 + ".repeat(15_000));
    let ands = format!("select * from t where {}true", "a = 1 and ".repeat(5_000));
    let many = [
        "(".repeat(100_000),
        format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("select {}1{}", "(".repeat(45), ")".repeat(45)),
        format!("select * from {}t{}", "(".repeat(45), ")".repeat(45)),
        format!("select {}1{}", "f(".repeat(45), ")".repeat(45)),
        format!("select {}1{}", "case when ".repeat(45), " then 1 end".repeat(45)),
        "/*".repeat(200_000),
        "$a$ ".repeat(100_000),
        "$a".repeat(300_000),
        "'a'\n".repeat(150_000),
        format!("select '{}'", "x".repeat(1_000_000)),
        "a.".repeat(150_000),
        "+-".repeat(400_000),
        format!(
            "with {} select 1",
            (0..2_000).map(|n| format!("a{n} as (select 1)")).collect::<Vec<_>>().join(",")
        ),
        "delete from t where a in (".repeat(2_000),
        format!("select {}", "(with ".repeat(100_000)),
        format!("select {}", "(with a as (select 1), ".repeat(40_000)),
        format!("select * from {}", "(a, a, a, (".repeat(60_000)),
        format!("insert into t {}", "on conflict (a, ".repeat(60_000)),
        format!("select {}", "a b, ".repeat(100_000)),
        chain,
        ands,
    ];
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let worker = small.spawn(move || {
        for text in many {
            let began = Instant::now();
            let _ = read(text.as_bytes(), Mode::default());
            // Not a measurement: what grows faster than the text takes minutes.
            assert!(began.elapsed().as_secs() < 20, "{:.40}: {:?}", text, began.elapsed());
        }
    });
    worker.unwrap().join().unwrap();
}

/// A query and the tables that stand in it.
fn query() -> impl Strategy<Value = (String, BTreeSet<String>)> {
    let leaf =
        (0..40_u8).prop_map(|n| (format!("select a, b from s.t{n}"), BTreeSet::from([format!("s.t{n}")])));
    leaf.prop_recursive(4, 24, 3, |inner| {
        let parts = proptest::collection::vec((inner, 0..40_u8), 1..4);
        (parts, 0..FORMS.len()).prop_map(|(parts, form)| {
            let (mut text, mut tables) = (FORMS[form].to_owned(), BTreeSet::new());
            for ((query, its), n) in parts.iter().cycle().take(4) {
                if text.contains('?') {
                    text = text.replacen('?', query, 1);
                    tables.extend(its.iter().cloned());
                }
                if text.contains('@') {
                    text = text.replacen('@', &format!("s.t{n}"), 1);
                    tables.insert(format!("s.t{n}"));
                }
            }
            (text, tables)
        })
    })
}

/// `#` is a column.
const COLUMN_FORMS: [&str; 16] = [
    "\"#\"",
    "p.\"#\"",
    "s.t.\"#\"",
    "(p).\"#\"",
    "lower(\"#\")",
    "1 + \"#\"",
    "\"#\"::text",
    "not \"#\"",
    "\"#\" between 1 and 2",
    "1 between \"#\" and 2",
    "case when a then \"#\" else b end",
    "\"#\"[1]",
    "\"#\" in (1, 2)",
    "\"#\" * 2",
    "(a, \"#\")",
    "extract(year from \"#\")",
];

/// `?` is a query, `@` a table.
const FORMS: [&str; 29] = [
    "select x, (?) from @ where y in (?) order by c, d",
    "select * from @ as a (k, l), (?) b, @ c group by e, f",
    "select * from @ join @ on x = (?), @ where z",
    "select * from (@ join (?) q using (id, at)), @ limit 1",
    "(?) union all (?) order by 1, 2",
    "select extract(year from (?)), trim(both from b) from @, @",
    "select a is distinct from (?) from @ x, @ y for update of x, y",
    "select * from @ a, lateral (?) b, f(a.x, (?)) c, @ d",
    "select * from rows from (f(1, (?)), g(2)), @, @",
    "select * from (values (1, (?)), (2, 3)) v (a, b), @, @",
    "select case when x in (?) then y end, count(*) filter (where z) over (partition by p, q) from @",
    "select * from @ join @ on case when a then b else c end, @ window w as (order by x, y)",
    "select * from @ join @ on collation for (a) = 'C', @ for no key update",
    "select array[a, b, (?)], row(a, (?)) from only @, only (@), @",
    "insert into @ (a, b) ? on conflict (a) do update set a = (?), b = 2 returning c, d",
    "update @ set a = 1, b = (?) from @, (?) q where x returning c, d",
    "delete from @ using @, (?) q where y in (?)",
    "merge into @ using (?) q on a when matched then update set b = 1, c = (?) when not matched then do nothing",
    "with w as (?), v (a, b) as (?) select * from w, v, @",
    "with recursive w (k) as (? union all select * from w, v), v as (?) select * from w, v, @",
    "select * from @ a join (?) b (k) on a.x = b.k left join (select f(k) from @) c on (c.x) join (?) d using (x)",
    "explain (costs off) ?",
    "create table @ as with w as (?) select * from w, @",
    "create temporary table @ as select * from @, (?) q",
    "select * into unlogged @ from @, (?) q",
    "explain (costs off) with w as (?) select * from w, @",
    "insert into @ (a) with w as (?), v as (? union select * from w) select * from w, v",
    "select * from @ natural left outer join @ cross join @, (?) z",
    "table @",
];

proptest! {
    /// White space, comments and case between tokens change nothing that is decided by.
    #[test]
    fn how_it_is_laid_out_changes_nothing(
        which in 0..8_usize,
        gaps in proptest::collection::vec(prop_oneof![Just(" "), Just("\n"), Just("/* ' */"), Just("-- \"\n"), Just("\t/*/**/*/")], 24),
        upper in any::<bool>(),
    ) {
        let texts = [
            "select a , b from clinic . patients where id = 7",
            "with d as ( delete from t returning * ) select * from d",
            "update t set a = 1 where b = 2",
            "insert into t ( a ) values ( lower ( x ) )",
            "create table t ( a int )",
            "copy t to program x",
            "set role admin",
            "explain analyze update t set a = 1",
        ];
        let mut laid = String::new();
        for (word, gap) in texts[which].split(' ').zip(gaps.iter().cycle()) {
            laid.push_str(&if upper { word.to_uppercase() } else { word.to_owned() });
            laid.push_str(gap);
        }
        prop_assert_eq!(one(&laid), one(texts[which]));
    }

    /// A statement built by the grammar: its words name each table that it was built of, and no less than the parser finds.
    #[test]
    fn no_table_is_missed(query in query()) {
        let (text, tables) = query;
        let found = tables_by_words(&text);
        prop_assert!(found.as_ref().is_none_or(|found| tables.is_subset(found)), "{text}: {tables:?} {found:?}");
        let mut data = vec![0];
        data.extend(text.bytes());
        hoop_sql::fuzz(&data);
    }

    /// What the words say for certain, the parser says too: of these, and of the statements below.
    #[test]
    fn what_is_certain_is_so(query in query()) {
        let text = Text::new(query.0.as_bytes(), Dialect::Postgres(Mode::default()));
        let wanted = Wanted { spelling: false, answer: false, mentions: false, columns: false };
        let parsed = text.parsed_for(wanted);
        for (words, parsed) in text.by_words(wanted).iter().flat_map(|words| &words.statements).zip(&parsed.statements) {
            let same = words.tables == parsed.tables && words.unknown_functions == parsed.unknown_functions;
            prop_assert!(!words.is_certain || same, "{}: {words:?} {parsed:?}", query.0);
        }
    }

    /// A column that stands where one may is named, whatever stands around it.
    #[test]
    fn no_column_is_missed(query in query(), form in 0..COLUMN_FORMS.len(), name in "[a-z ]{3,9}") {
        let expression = COLUMN_FORMS[form].replace('#', &format!("zz{name}"));
        let text = format!("select {expression} from s.t p, ({}) q where {expression}", query.0);
        let found = one(&text).columns;
        let column = format!("zz{name}");
        let is_named = found.named.iter().any(|one| one.name == column);
        prop_assert!(found.whole_rows || is_named, "{text}: {found:?}");
    }

    #[test]
    fn anything_is_read(text in "[a-z$'\"();.*/ \n-]{0,120}") {
        for statement in read(text.as_bytes(), Mode::default()).statements {
            prop_assert!(!statement.classes.is_empty());
        }
    }
}
