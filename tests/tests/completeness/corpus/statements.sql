drop table if exists t, parent, child, documents cascade
%%
create table t(n int primary key, s text, at timestamptz default now())
%%
create table parent(id bigint generated always as identity primary key, name text not null unique)
%%
create table child(id int primary key, parent bigint references parent(id) deferrable initially deferred, check (id > 0))
%%
create table documents(id uuid primary key default gen_random_uuid(), body jsonb, tags text[], raw bytea)
%%
create index on t(s)
%%
create unique index concurrently if not exists t_unique on t(n, s)
%%
create view v as select n, s from t where n > 1
%%
create materialized view m as select count(*) from t
%%
create type mood as enum ('sad', 'ok', 'happy')
%%
create type pair as (a int, b text)
%%
create domain positive as int check (value > 0)
%%
create sequence numbers start 100 increment 5
%%
create schema if not exists "Odd ""name"""
%%
create table "Odd ""name"""."Ünïcode tåble"("naïve column" text)
%%
create function add(a int, b int) returns int language sql immutable as 'select a + b'
%%
create or replace function loud(n int) returns int language plpgsql as $body$
begin
    raise notice 'loud %', n;
    return n;
end
$body$
%%
create procedure put(k int) language plpgsql as $$ begin insert into t values (k, 'put'); end $$
%%
create function touch() returns trigger language plpgsql as $$ begin new.s := coalesce(new.s, 'touched'); return new; end $$
%%
create trigger t_touch before insert on t for each row execute function touch()
%%
create rule ignore as on delete to v do instead nothing
%%
comment on table t is 'it''s a table; with a comment'
%%
grant select on t to public
%%
revoke select on t from public
%%
alter table t add column extra numeric(10, 2) default 1.50
%%
alter table t alter column extra drop default
%%
insert into t(n, s) values (1, 'one'), (2, 'two'), (3, null)
%%
insert into t(n, s) values (4, 'four') returning n, s
%%
insert into t(n, s) select g, 'g' || g from generate_series(10, 30) g
%%
insert into t(n, s) values (1, 'again') on conflict (n) do update set s = excluded.s returning *
%%
insert into t(n, s) values (1, 'ignored') on conflict do nothing
%%
update t set s = upper(s) where n < 3 returning n, s
%%
update t set s = d.s from (values (2, 'TWO')) as d(n, s) where t.n = d.n
%%
delete from t where n = 30 returning *
%%
delete from t using generate_series(28, 29) g where t.n = g
%%
insert into parent(name) values ('first'), ('second') returning id
%%
insert into child values (1, 1)
%%
insert into "Odd ""name"""."Ünïcode tåble" values ('grüße 患者 😀')
%%
insert into documents(body, tags, raw) values ('{"a": [1, 2, {"b": null}], "c": "d''e"}', array['x', 'y z', '"quoted"', null], '\xdeadbeef')
%%
with moved as (delete from t where n = 27 returning *) select * from moved
%%
with recursive r(i) as (select 1 union all select i + 1 from r where i < 10) select sum(i) from r
%%
with a as (select 1 as x), b as (select 2 as y) insert into t(n, s) select x + 200, y::text from a, b returning *
%%
merge into t using (values (1, 'merged'), (500, 'new')) as d(n, s) on t.n = d.n when matched then update set s = d.s when not matched then insert (n, s) values (d.n, d.s)
%%
select 1
%%
select null
%%
select null::int, ''::text, 'null'
%%
select
%%
select 1, 2, 3 union all select 4, 5, 6 order by 1 desc
%%
select n, s from t order by n limit 5 offset 2
%%
select count(*), min(n), max(n), avg(n)::numeric(10, 2) from t
%%
select s, count(*) from t group by s having count(*) > 0 order by 1 nulls first
%%
select n, row_number() over (partition by n % 2 order by n) from t
%%
select distinct on (n % 3) n from t order by n % 3, n
%%
select * from t join child on t.n = child.id left join parent on parent.id = child.parent
%%
select exists (select from t where n = 1)
%%
select case when n > 2 then 'many' else 'few' end from t limit 3
%%
select array[1, 2, 3], array[[1, 2], [3, 4]], '{}'::text[], array[null, 'a']
%%
select array_agg(n order by n) from t
%%
select unnest(array['a', 'b'])
%%
select '{"a": 1}'::jsonb -> 'a', '{"a": {"b": 2}}'::json #>> '{a,b}', to_jsonb(t) from t limit 1
%%
select jsonb_build_object('k', 'v', 'n', 1), jsonb_path_query('{"a":[1,2]}', '$.a[*] ? (@ > 1)')
%%
select '\xdeadbeef'::bytea, decode('00ff', 'hex'), ''::bytea, encode('\x01', 'base64')
%%
select timestamp '2026-02-28 23:59:59.999999', timestamptz '2026-01-01 00:00:00+02', date '0001-01-01', time '24:00'
%%
select 'infinity'::timestamptz, '-infinity'::date, '4713-01-01 BC'::date
%%
select interval '1 year 2 months 3 days 04:05:06.7', now() - now()
%%
select 1.5::real, 'NaN'::float8, '-Infinity'::float8, 1e308::float8, 0.1::numeric, 12345678901234567890.123456789
%%
select true, false, not true
%%
select '11111111-2222-3333-4444-555555555555'::uuid, '10.0.0.1/8'::inet, '08:00:2b:01:02:03'::macaddr
%%
select int4range(1, 10), '[2026-01-01,2026-02-01)'::daterange, point(1, 2), '((0,0),(1,1))'::box
%%
select 'happy'::mood, row(1, 'a')::pair, 5::positive
%%
select E'tab\there\nnew line \\ back \'quote\' \u00e4 \x41'
%%
select 'it''s', "s" from t limit 1
%%
select $$dollar $1 quoted ' " -- not a comment /* nor this */$$, $tag$ with $$ inside $tag$
%%
select U&'d\0061t\+000061'
%%
select 'grüße', 'Привет', '患者', '😀👩‍👩‍👧', 'e' || U&'\0301', 'עברית'
%%
select 'two
lines and

an empty one,	a tab'
%%
select 'trailing space '   
%%
    select   'leading and inner   space'
%%
select 1 /* a comment */ + /* nested /* comments */ */ 2 -- at the end
%%
-- a comment before
select 'after a comment'
%%
/* drop table t; */ select 'not dropped'
%%
select '--' || '/*' || '*/' || ';'
%%
select 1 as "a;b", 2 as "c""d", 3 as "e -- f"
%%
select 'percent % and %% and %s and $1 and ? and :name and \: and \\'
%%
select n::text || ':' || s from t limit 1
%%
select $1
%%
select loud(7)
%%
select add(1, 2), add(b => 2, a => 1)
%%
call put(600)
%%
select nextval('numbers'), currval('numbers')
%%
select set_config('hoop.test', 'value', false), current_setting('hoop.test')
%%
set application_name = 'completeness'
%%
set local statement_timeout = '5s'
%%
set time zone 'UTC'
%%
show application_name
%%
show all
%%
reset application_name
%%
do $$ begin perform 1; perform 2; raise notice 'in do'; end $$
%%
do $$ declare r record; begin for r in select n from t loop null; end loop; end $$
%%
do language plpgsql 'begin execute ''create temp table made_inside(x int)''; end'
%%
prepare p(int, text) as select $1 + 1, $2
%%
execute p(41, 'it''s')
%%
execute p(null, null)
%%
execute p(1)
%%
deallocate p
%%
execute p(1, 'gone')
%%
prepare "odd: name" as select 'colon: in the name'
%%
execute "odd: name"
%%
deallocate "odd: name"
%%
begin
%%
insert into t(n, s) values (1000, 'in a transaction')
%%
savepoint one
%%
insert into t(n, s) values (1001, 'lost')
%%
rollback to savepoint one
%%
savepoint two
%%
select 1/0
%%
select 'not run: aborted'
%%
rollback to savepoint two
%%
release savepoint one
%%
declare c scroll cursor for select n from t order by n
%%
fetch 2 from c
%%
fetch backward 1 from c
%%
move forward 3 in c
%%
fetch all from c
%%
fetch absolute -1 from c
%%
update t set s = 'positioned' where n = 1000
%%
close c
%%
commit
%%
begin isolation level serializable read only deferrable
%%
select count(*) from t
%%
insert into t(n) values (2000)
%%
select 'aborted again'
%%
commit
%%
start transaction
%%
select nowhere from t
%%
syntax error here
%%
rollback
%%
begin
%%
insert into child values (2, 999)
%%
commit
%%
declare h cursor with hold for select 1
%%
close h
%%
declare outside cursor for select 1
%%
commit
%%
rollback
%%
abort
%%
select * from nowhere
%%
select nowhere from t
%%
selec 1
%%
select 1 +
%%
select 1/0
%%
select (n - n) / (n - n) from t
%%
insert into t(n, s) values (1, 'duplicate')
%%
insert into child values (-1, null)
%%
insert into parent(name) values (null)
%%
select 'abc'::int
%%
select pg_sleep('soon')
%%
select add('a', 'b')
%%
select 'sad'::mood = 'nothing'
%%
drop table nowhere
%%
set nonsense.nonsense
%%
set session authorization nobody
%%
copy t from '/etc/passwd'
%%
lock table t
%%
vacuum t
%%
analyze t
%%
explain select * from t
%%
explain (analyze, costs off, timing off, summary off) select count(*) from t
%%
listen here
%%
notify here
%%
notify here, 'a payload; with ''quotes'''
%%
select pg_notify('here', 'by function')
%%
unlisten *
%%
select lo_create(7777)
%%
select lo_put(7777, 0, 'large \\000 object')
%%
select convert_from(lo_get(7777, 0, 5), 'UTF8')
%%
select lo_unlink(7777)
%%
create temp table scratch on commit drop as select 1
%%
create temp table kept as select generate_series(1, 3) as n
%%
select * into temp also from kept
%%
table kept
%%
values (1, 'a'), (2, 'b')
%%
truncate kept
%%
refresh materialized view m
%%
cluster t using t_pkey
%%
reindex table t
%%
select pg_advisory_lock(42), pg_advisory_unlock(42)
%%
select * from pg_catalog.pg_class where relname = 't'
%%
select relname from pg_class c, pg_namespace n where n.oid = c.relnamespace and nspname = current_schema() order by 1
%%
select current_user, session_user, current_database()
%%
select * from generate_series(1, 2000)
%%
select repeat('x', 10000)
%%
select 1; select 2
%%
select 'a'; select 1/0; select 'never'
%%
begin; insert into t(n, s) values (3000, 'several'); rollback
%%
insert into t(n, s) values (3001, 'implicit'); select 1/0
%%
insert into child values (3, 999)
%%
;
%%
-- only a comment
%%
drop trigger t_touch on t
%%
drop function add(int, int), loud(int)
