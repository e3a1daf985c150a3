//! Asks the server, on the stream's own connection and before its client is let in, which columns the rules mean.
//!
//! A rule names columns; answers name them by number. Partitions and other children have the columns of their parents, and
//! views have those that they show as they are, by whatever name: the parser's own notes in `pg_rewrite` say so of each
//! (`resorigtbl`, `resorigcol`). What else a view over masked columns shows is computed. What comes into being after the
//! look-up is not known, and not shown.

use std::collections::{HashMap, HashSet};

use bytes::{Bytes, BytesMut};
use hoop_policy::{ColumnFate, MaskingRules};
use hoop_sql::{Name, postgres::Mode};

use super::{Act, act_of, is_named};
use crate::{
    account::literal,
    fault::{self, Failure},
    wire::{HEADER, Header, Intake, Malformed, Reader, Refusal, read, write},
};

/// All that the server answers.
const MOST: usize = 16 << 20;

/// Below are the numbers of what the server brings along.
const FIRST_OF_USERS: u32 = 16384;

/// What the server itself keeps copies of values in.
const SAMPLED: &str = "'pg_stats', 'pg_stats_ext', 'pg_stats_ext_exprs', 'pg_statistic', 'pg_statistic_ext_data', \
    'pg_largeobject'";

/// The look-up on its way.
pub(crate) struct LookUp {
    query: Bytes,
    acts: Vec<Act>,
    found: Columns,
    answers: usize,
    said: usize,
    refused: Option<String>,
}

/// Tables with masked columns, and views over them.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    relations: HashMap<u32, Relation>,
    by_name: HashMap<String, Vec<u32>>,
    /// Every relation that there was.
    known: HashSet<u32>,
}

#[derive(Debug)]
struct Relation {
    schema: String,
    name: String,
    /// In their order.
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    number: i16,
    name: String,
    type_id: u32,
    act: Act,
}

impl Columns {
    /// What becomes of a column of a table.
    pub(super) fn act(&self, table: u32, attribute: i16) -> Act {
        let Some(relation) = self.relations.get(&table) else {
            let is_known = is_servers(table) || self.known.contains(&table);
            return if is_known { Act::Detect } else { Act::Hide };
        };
        let column = relation.columns.iter().find(|column| column.number == attribute);
        column.map_or(Act::Hide, |column| column.act)
    }

    /// For the recording.
    pub(crate) fn describe(&self) -> String {
        let masked: Vec<_> = self.relations.values().filter(|relation| relation.is_masked()).collect();
        let count =
            |relation: &&Relation| relation.columns.iter().filter(|column| is_masked(column.act)).count();
        let columns: usize = masked.iter().map(count).sum();
        format!("masked by name: {columns} columns of {} tables and views", masked.len())
    }

    /// A statement that names this touches what is masked.
    pub(super) fn holds(&self, name: &Name) -> bool {
        self.named(name).next().is_some()
    }

    fn named(&self, name: &Name) -> impl Iterator<Item = &Relation> {
        let found = self.by_name.get(&name.name).into_iter().flatten();
        found
            .filter_map(|oid| self.relations.get(oid))
            .filter(|relation| is_named(name, &relation.schema, &relation.name) && relation.is_masked())
    }

    /// Name, fate and type of the columns that a `COPY` sends; of several tables that it may mean, the worst.
    pub(super) fn of_copy(&self, table: &Name, columns: &[String]) -> Vec<(String, Act, u32)> {
        let all: Vec<&Relation> = self.named(table).collect();
        let names: Vec<&String> = match (columns, &all[..]) {
            ([], [one]) => one.columns.iter().map(|column| &column.name).collect(),
            // Which one is meant, and so what its columns are, is not known.
            ([], _) => return Vec::new(),
            _ => columns.iter().collect(),
        };
        let of_all = |name: &String| {
            let fitting = |column: &&Column| column.name == *name;
            let found: Vec<_> = all.iter().flat_map(|one| one.columns.iter().filter(fitting)).collect();
            let masked = found.iter().find(|column| is_masked(column.act));
            let (act, type_id) =
                masked.or(found.first()).map_or((Act::Hide, 0), |column| (column.act, column.type_id));
            (name.clone(), act, type_id)
        };
        names.into_iter().map(of_all).collect()
    }

    fn add(&mut self, row: &[Option<String>], acts: &[Act]) -> Option<()> {
        let text = |at: usize| row.get(at)?.as_deref();
        let oid: u32 = text(0)?.parse().ok()?;
        let (schema, name) = (text(1)?.to_owned(), text(2)?.to_owned());
        let rule: i64 = text(6)?.parse().ok()?;
        let act = match (usize::try_from(rule), text(7)?) {
            (Ok(at), _) => acts.get(at).copied().unwrap_or(Act::Hide),
            // It computes from masked columns.
            (Err(_), "t") => Act::Hide,
            (Err(_), _) => Act::Detect,
        };
        let (number, type_id) = (text(3)?.parse().ok()?, text(5)?.parse().ok()?);
        let column = Column { number, name: text(4)?.to_owned(), type_id, act };
        let relation = self.relations.entry(oid).or_insert_with(|| {
            self.by_name.entry(name.clone()).or_default().push(oid);
            Relation { schema, name, columns: Vec::new() }
        });
        relation.columns.push(column);
        Some(())
    }
}

impl Relation {
    fn is_masked(&self) -> bool {
        self.columns.iter().any(|column| is_masked(column.act))
    }
}

/// It comes with the server.
pub(super) const fn is_servers(table: u32) -> bool {
    table < FIRST_OF_USERS
}

const fn is_masked(act: Act) -> bool {
    !matches!(act, Act::Clear | Act::Detect)
}

impl LookUp {
    pub(super) fn new(rules: &MaskingRules) -> Self {
        Self {
            query: write::message(b'Q', |out| write::put_text(out, query(rules).as_bytes())),
            acts: rules.patterns().map(|(_, fate)| act_of(fate)).collect(),
            found: Columns::default(),
            answers: 0,
            said: 0,
            refused: None,
        }
    }

    /// What the server is asked.
    pub(crate) fn query(&self) -> Bytes {
        self.query.clone()
    }

    /// Bytes of the server. `Some`: that was all.
    pub(crate) fn handle_target(
        &mut self,
        intake: &mut Intake,
        input: &mut BytesMut,
        mode: &mut Mode,
    ) -> Result<Option<Columns>, Failure> {
        let rule = |header: Header| match header.total {
            0..=MOST => Ok(header.total),
            _ => Err(Malformed("it is too long")),
        };
        let mut chunks = Vec::new();
        let taken = intake.take(input, rule, |chunk| chunks.push(chunk));
        for chunk in &chunks {
            let mut at = 0;
            while let Some(Ok(Header { kind, total })) = chunk.get(at..).and_then(Header::read) {
                self.said = self.said.saturating_add(total);
                if self.said > MOST {
                    return Err(fault::look_up("there are too many tables"));
                }
                let body = Reader::new(chunk, at + HEADER, at + total);
                if self.message(kind, body, mode).map_err(|why| fault::target_broke(kind, why.0))? {
                    // It speaks when it is spoken to: what follows has no place here.
                    if at + total < chunk.len() || !input.is_empty() {
                        return Err(fault::target_broke(kind, "it answers more than was asked"));
                    }
                    return self.finish().map(Some);
                }
                at += total;
            }
        }
        taken.map_err(|Refusal { kind, why }| fault::target_broke(kind, why.0))?;
        Ok(None)
    }

    /// True: ready.
    fn message(&mut self, kind: u8, mut body: Reader<'_>, mode: &mut Mode) -> Result<bool, Malformed> {
        match kind {
            b'D' => {
                let row = read::text_row(&mut body)?;
                match &row[..] {
                    [all] => {
                        let all = all.as_deref().unwrap_or_default();
                        self.found.known.extend(all.split(',').filter_map(|oid| oid.parse::<u32>().ok()));
                        self.answers += 1;
                    }
                    columns => self
                        .found
                        .add(columns, &self.acts)
                        .ok_or(Malformed("it is no answer to a look-up"))?,
                }
            }
            b'E' => self.refused = Some(String::from_utf8_lossy(&read::error_fields(body).1).into_owned()),
            b'S' => {
                let (name, value) = (body.text()?, body.text()?);
                read::mode(mode, &name, &value);
            }
            b'Z' => return Ok(true),
            b'T' | b'C' | b'N' | b'A' => {}
            _ => return Err(Malformed("it is no answer to a query")),
        }
        Ok(false)
    }

    fn finish(&mut self) -> Result<Columns, Failure> {
        match self.refused.take() {
            Some(why) => Err(fault::look_up(&why)),
            None if self.answers == 1 => Ok(std::mem::take(&mut self.found)),
            None => Err(fault::look_up("the server did not answer")),
        }
    }
}

/// A pattern for `LIKE`, with `!` to escape.
fn like(pattern: &str) -> String {
    let escaped = pattern.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    text(&escaped.replace('*', "%"))
}

/// A literal in ASCII alone: the session may have any encoding.
fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in literal(value).chars() {
        match u32::from(character) {
            0..=0x7f => out.push(character),
            code @ 0x80..=0xffff => out += &format!("\\u{code:04x}"),
            code => out += &format!("\\U{code:08x}"),
        }
    }
    out
}

/// The query. Number, schema, name, then of each column number, name, type, and the number of the rule that it comes under
/// (-1: none); then the numbers of all relations.
fn query(rules: &MaskingRules) -> String {
    let (mut exact, mut wide) = (String::new(), String::new());
    let mut masked = String::new();
    for (at, (pattern, fate)) in rules.patterns().enumerate() {
        let (schema, table, column) = pattern.parts();
        let schema = like(schema.unwrap_or("*"));
        if pattern.is_wide() {
            wide += &format!(", ({at}, {schema}, {}, {})", like(table), like(column));
        } else {
            exact += &format!(", ({at}, {schema}, {}, {})", text(table), text(column));
        }
        if fate != ColumnFate::Clear {
            masked += &format!(", {at}");
        }
    }
    // Everything is looked for in the catalog, whatever the session has set, and nothing of that lasts.
    format!(
        "BEGIN READ ONLY; SET LOCAL search_path = pg_catalog; \
WITH RECURSIVE exact (n, s, t, c) AS (VALUES (-1, '', '', ''){exact}), \
wide (n, s, t, c) AS (VALUES (-1, '', '', ''){wide}), \
shown (oid, schema, name) AS (SELECT r.oid, s.nspname, r.relname FROM pg_class r JOIN pg_namespace s \
ON s.oid = r.relnamespace WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f')), \
field (rel, att, name) AS (SELECT attrelid, attnum, attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped), \
meant AS ( \
SELECT r.oid AS rel, a.att, p.n FROM exact p JOIN shown r ON r.name = p.t AND r.schema LIKE p.s ESCAPE '!' \
JOIN field a ON a.rel = r.oid AND a.name = p.c WHERE p.n >= 0 \
UNION ALL \
SELECT r.oid, a.att, p.n FROM wide p JOIN shown r ON r.name LIKE p.t ESCAPE '!' AND r.schema LIKE p.s ESCAPE '!' \
JOIN field a ON a.rel = r.oid AND a.name LIKE p.c ESCAPE '!' WHERE p.n >= 0), \
own AS (SELECT rel, att, min(n) AS n FROM meant GROUP BY rel, att), \
viewed AS (SELECT DISTINCT d.refobjid AS parent, d.refobjsubid AS att, w.ev_class AS rel, w.oid AS rule \
FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid \
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND w.ev_class <> d.refobjid), \
heir (rel, att, name, n) AS (SELECT o.rel, a.att, a.name, o.n FROM own o JOIN field a ON a.rel = o.rel AND a.att = o.att \
UNION SELECT i.inhrelid, a.att, a.name, h.n FROM heir h JOIN pg_inherits i ON i.inhparent = h.rel \
JOIN field a ON a.rel = i.inhrelid AND a.name = h.name), \
over (rel, rule) AS (SELECT v.rel, v.rule FROM viewed v JOIN heir h ON h.rel = v.parent \
UNION SELECT v.rel, v.rule FROM over o JOIN viewed v ON v.parent = o.rel), \
tree AS (SELECT o.rel, w.ev_action::text AS text FROM over o JOIN pg_rewrite w ON w.oid = o.rule), \
entry AS (SELECT t.rel, m[1]::int2 AS att, m[2]::oid AS parent, m[3]::int2 AS origin FROM tree t, \
regexp_matches(t.text, ':resno (\\d+) :resname [^ ]+ :ressortgroupref \\d+ :resorigtbl (\\d+) :resorigcol (-?\\d+) ', 'g') m), \
plain AS (SELECT rel, att, min(parent) AS parent, min(origin) AS origin FROM entry GROUP BY rel, att \
HAVING min(parent) = max(parent) AND min(origin) = max(origin) AND min(parent) > 0 AND min(origin) > 0), \
handed (rel, att, n) AS (SELECT rel, att, n FROM heir UNION SELECT p.rel, p.att, h.n FROM handed h \
JOIN plain p ON p.parent = h.rel AND p.origin = h.att), \
derived (rel) AS (SELECT v.rel FROM viewed v JOIN handed h ON h.rel = v.parent JOIN tree t ON t.rel = v.rel \
AND (v.att = h.att OR v.att = 0 OR t.text LIKE '%:varattno 0 %') WHERE h.n IN (-2{masked}) \
UNION SELECT v.rel FROM derived d JOIN viewed v ON v.parent = d.rel), \
computed (rel, att) AS (SELECT a.rel, a.att FROM derived d JOIN field a ON a.rel = d.rel \
WHERE NOT EXISTS (SELECT FROM plain p WHERE p.rel = a.rel AND p.att = a.att) \
UNION SELECT p.rel, p.att FROM computed c JOIN plain p ON p.parent = c.rel AND p.origin = c.att), \
told (rel, att) AS (SELECT a.rel, a.att FROM shown r JOIN field a ON a.rel = r.oid \
WHERE r.schema = 'pg_catalog' AND a.name IN ('application_name', 'query')), \
sampled (rel) AS (SELECT oid FROM shown WHERE schema = 'pg_catalog' AND name IN ({SAMPLED})), \
concerned AS (SELECT rel FROM handed UNION SELECT rel FROM derived UNION SELECT rel FROM sampled UNION SELECT rel FROM told) \
SELECT r.oid, r.schema, r.name, a.attnum, a.attname, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END, \
coalesce((SELECT n FROM own o WHERE o.rel = r.oid AND o.att = a.attnum), \
(SELECT min(n) FROM handed h WHERE h.rel = r.oid AND h.att = a.attnum), -1), \
(r.oid, a.attnum) IN (SELECT rel, att FROM computed UNION SELECT rel, att FROM told) OR r.oid IN (SELECT rel FROM sampled) \
FROM concerned c JOIN shown r ON r.oid = c.rel JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 \
AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid ORDER BY r.oid, a.attnum; \
SELECT string_agg(oid::text, ',') FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND oid >= {FIRST_OF_USERS}; \
COMMIT"
    )
}
