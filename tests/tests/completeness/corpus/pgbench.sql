\set a random(1, 100)
\set b :a * 2
begin;
select :a::int + :b::int as sum;
insert into bulk values (:a, 'it''s'), (:b, null);
select count(*) from bulk where n = :a \gset
\if :a > 50
update bulk set s = 'many' where n = :a and :count::int >= 0;
\endif
commit;
