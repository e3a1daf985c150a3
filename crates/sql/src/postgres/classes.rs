//! Of which classes a statement is, by its words alone.
//!
//! The first word says what a statement is; all grammar of PostgreSQL begins statements with a word. Statements that change
//! rows may stand inside others (`WITH`, `EXPLAIN`, `PREPARE`, `COPY (…)`), so their words count wherever they stand, but for
//! places where the grammar has them as something else. Where that is not certain they count.

use std::collections::BTreeSet;

use super::lexer::Token;
use crate::Class;

/// What the words say.
pub(super) struct Verdict {
    pub(super) classes: BTreeSet<Class>,
    pub(super) verbs: BTreeSet<String>,
    pub(super) runs: Runs,
}

/// What kind of thing it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// Nothing that touches a table: `BEGIN`, `SET`.
    Nothing,
    /// A command with names in it: `CREATE INDEX`, `VACUUM`.
    ACommand,
    /// What a parser of queries reads.
    AQuery,
    /// Code that is not in the text, or something that is not known.
    Anything,
}

/// Settings that change the session alone. Any other is the server's.
const HARMLESS_SETTINGS: [&str; 44] = [
    "application_name",
    "bytea_output",
    "client_min_messages",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "datestyle",
    "deadlock_timeout",
    "default_statistics_target",
    "default_text_search_config",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "geqo",
    "gin_fuzzy_search_limit",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "join_collapse_limit",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "row_security",
    "search_path",
    "seq_page_cost",
    "statement_timeout",
    "timezone",
    "work_mem",
];

/// Words that change rows wherever they stand as verbs.
const CHANGES: [&str; 4] = ["insert", "update", "delete", "merge"];

/// Reads the words.
pub(super) fn of(tokens: &[Token<'_>]) -> Verdict {
    let mut verdict = Verdict { classes: BTreeSet::new(), verbs: BTreeSet::new(), runs: Runs::Nothing };
    verdict.lead(tokens);
    verdict.inside(tokens);
    verdict
}

/// `READ WRITE`, or a setting that means it, or the function that sets any; or the end of what another transaction has prepared.
pub(super) fn says_read_write(tokens: &[Token<'_>]) -> bool {
    let names = ["transaction_read_only", "default_transaction_read_only", "set_config"];
    let sets = |token: &Token<'_>| {
        token.name().is_some_and(|name| names.iter().any(|other| name.eq_ignore_ascii_case(other)))
    };
    let runs: [&[&str]; 3] = [&["read", "write"], &["commit", "prepared"], &["rollback", "prepared"]];
    runs.iter().any(|run| Words(tokens).has_run(run)) || tokens.iter().any(sets)
}

/// The words of a statement, of which any may be asked for.
struct Words<'a, 't>(&'t [Token<'a>]);

impl Words<'_, '_> {
    fn at(&self, at: usize) -> &str {
        self.0.get(at).and_then(Token::word).unwrap_or("")
    }

    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|token| token.is(word))
    }

    fn has_run(&self, run: &[&str]) -> bool {
        self.0.windows(run.len()).any(|tokens| tokens.iter().zip(run).all(|(token, word)| token.is(word)))
    }
}

impl Verdict {
    /// An `UPDATE` or `DELETE` may stand in it.
    pub(super) fn changes_rows(&self) -> bool {
        ["update", "delete", "merge", "truncate"].iter().any(|verb| self.verbs.contains(*verb))
    }

    /// Or runs what was prepared before: its words do not say all that it touches.
    pub(super) fn makes_tables(&self) -> bool {
        self.verbs.contains("create") || self.runs_others()
    }

    /// What was prepared before.
    pub(super) fn runs_others(&self) -> bool {
        self.verbs.contains("execute")
    }

    fn is(&mut self, class: Class) {
        self.classes.insert(class);
    }

    fn lead(&mut self, tokens: &[Token<'_>]) {
        let opened = tokens.iter().take_while(|token| matches!(token, Token::Sign(b'('))).count();
        let words = Words(tokens);
        let first = words.at(opened);
        if !first.is_empty() {
            self.verbs.insert(first.to_owned());
        }
        match first {
            "select" | "values" | "table" | "with" => self.parsed(Class::Read),
            _ if opened > 0 => self.opaque(),
            "insert" | "update" | "delete" | "merge" => self.parsed(Class::Write),
            // It may run it: `EXPLAIN ANALYZE CREATE TABLE … AS` makes the table.
            "explain" if opened == 0 => {
                self.is(Class::Read);
                self.lead(explained(tokens));
            }
            "declare" => self.parsed(Class::Read),
            "prepare" if words.at(1) == "transaction" => self.plain(Class::Write),
            "prepare" => self.parsed(Class::Read),
            // What it runs was read when it was prepared.
            "execute" => self.parsed(Class::Read),
            "show" | "fetch" | "move" | "close" => self.plain(Class::Read),
            "deallocate" | "discard" | "listen" | "unlisten" => self.plain(Class::Session),
            "begin" | "start" | "end" | "abort" | "savepoint" | "release" => self.plain(Class::Session),
            "commit" | "rollback" if words.at(1) == "prepared" => self.plain(Class::Write),
            "commit" | "rollback" => self.plain(Class::Session),
            "set" => self.set(&words),
            "reset" => self.reset(&words),
            "notify" => self.plain(Class::Write),
            "lock" => self.command(Class::Write),
            "truncate" => self.command(Class::Write),
            "copy" => self.copy(tokens),
            "create" | "alter" | "drop" => self.define(&words),
            "comment" | "reindex" | "cluster" | "vacuum" | "analyze" | "analyse" | "refresh" => {
                self.command(Class::Ddl)
            }
            "grant" | "revoke" | "security" | "reassign" => self.command(Class::Privilege),
            "checkpoint" => self.plain(Class::Server),
            "load" | "import" => self.command(Class::Server),
            // `CALL`, `DO`, and what there may be one day.
            _ => self.opaque(),
        }
    }

    /// It names no table.
    fn plain(&mut self, class: Class) {
        self.is(class);
    }

    fn command(&mut self, class: Class) {
        self.runs = Runs::ACommand;
        self.is(class);
    }

    fn parsed(&mut self, class: Class) {
        self.runs = Runs::AQuery;
        self.is(class);
    }

    fn opaque(&mut self) {
        self.runs = Runs::Anything;
        self.classes.extend(Class::ALL);
    }

    fn set(&mut self, words: &Words<'_, '_>) {
        let name = match words.at(1) {
            "session" | "local" => 2,
            _ => 1,
        };
        match (words.at(name), words.at(name + 1)) {
            ("role", _) | ("authorization", _) | ("session", "authorization") => self.plain(Class::Privilege),
            ("transaction" | "constraints" | "seed" | "schema", _) => self.plain(Class::Session),
            ("time", "zone") | ("xml", "option") | ("characteristics", _) => self.plain(Class::Session),
            // Behind other schemas, PostgreSQL's own functions are no longer those that are known.
            ("search_path", _) if moves_the_catalog(words.0) => self.opaque(),
            (setting, _)
                if is_harmless(setting) && !matches!(words.0.get(name + 1), Some(Token::Sign(b'.'))) =>
            {
                self.plain(Class::Session);
            }
            // How strings are read from here on, among others: nothing after it could be read for certain.
            _ => self.opaque(),
        }
    }

    fn reset(&mut self, words: &Words<'_, '_>) {
        match (words.at(1), words.at(2)) {
            ("role", _) | ("session", "authorization") => self.plain(Class::Privilege),
            ("all", "") | ("time", "zone") => self.plain(Class::Session),
            (setting, "") if is_harmless(setting) => self.plain(Class::Session),
            _ => self.opaque(),
        }
    }

    /// `COPY t [(columns)] | (query) FROM | TO where`.
    fn copy(&mut self, tokens: &[Token<'_>]) {
        let mut depth = 0_usize;
        for (at, token) in tokens.iter().enumerate() {
            match token {
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') => depth = depth.saturating_sub(1),
                Token::Word(word) if depth == 0 && matches!(word.as_ref(), "from" | "to") => {
                    let class = match (word.as_ref(), tokens.get(at + 1).and_then(Token::word)) {
                        ("from", Some("stdin" | "stdout")) => Class::Write,
                        ("to", Some("stdout" | "stdin")) => Class::Read,
                        _ => Class::Server,
                    };
                    return self.parsed(class);
                }
                _ => {}
            }
        }
        self.opaque();
    }

    /// `CREATE`, `ALTER`, `DROP`.
    fn define(&mut self, words: &Words<'_, '_>) {
        let mut at = 1;
        while matches!(
            words.at(at),
            "or" | "replace"
                | "temp"
                | "temporary"
                | "global"
                | "local"
                | "unlogged"
                | "unique"
                | "recursive"
                | "trusted"
                | "procedural"
                | "constraint"
                | "materialized"
                | "default"
                | "event"
                | "foreign"
        ) {
            at += 1;
        }
        let is_default = words.has_run(&["default", "privileges"]);
        let class = match (words.at(at), words.at(at + 1)) {
            ("role" | "group" | "policy" | "owned", _) => Class::Privilege,
            ("user", "mapping") => Class::Server,
            ("user", _) => Class::Privilege,
            ("privileges", _) if is_default => Class::Privilege,
            ("trigger", _) if words.at(at - 1) == "event" => Class::Server,
            ("data", _) => Class::Server,
            (
                "table" | "index" | "view" | "sequence" | "schema" | "type" | "domain" | "function"
                | "procedure" | "routine" | "aggregate" | "trigger" | "rule" | "operator" | "cast"
                | "collation" | "conversion" | "statistics" | "text" | "large",
                _,
            ) => Class::Ddl,
            // Databases, extensions, servers, subscriptions, the system.
            _ => Class::Server,
        };
        self.command(class);
        if words.has_run(&["owner", "to"])
            || words.has_run(&["security", "definer"])
            || words.has_run(&["row", "level", "security"])
            || words.has("grant")
            || words.has("authorization")
        {
            self.is(Class::Privilege);
        }
        let language = words.0.windows(2).find(|pair| pair.first().is_some_and(|token| token.is("language")));
        let language = language.and_then(|pair| pair.get(1)).map(|token| token.name().unwrap_or(""));
        if language.is_some_and(|language| !matches!(language, "sql" | "plpgsql")) {
            self.is(Class::Server);
        }
        // What it is filled with is run now.
        if words.0.iter().any(|token| {
            token.word().is_some_and(|word| matches!(word, "select" | "values" | "with" | "execute"))
        }) && matches!(words.at(at), "table" | "view")
        {
            self.runs = Runs::AQuery;
            self.is(Class::Read);
        }
    }

    /// Words that count wherever they stand.
    fn inside(&mut self, tokens: &[Token<'_>]) {
        let first = Words(tokens).at(0).to_owned();
        if matches!(first.as_str(), "grant" | "revoke" | "comment" | "set" | "reset" | "show") {
            return;
        }
        let defines = matches!(first.as_str(), "create" | "alter");
        for (at, token) in tokens.iter().enumerate() {
            let Some(word) = token.word() else { continue };
            let before = at.checked_sub(1).and_then(|at| tokens.get(at));
            // `t.update` is a column.
            if matches!(before, Some(Token::Sign(b'.'))) {
                continue;
            }
            let before = before.and_then(Token::word).unwrap_or("");
            if CHANGES.contains(&word) {
                // `ON DELETE CASCADE`, `AFTER INSERT OR UPDATE`, `FOR UPDATE` of a policy.
                let is_event = defines && matches!(before, "on" | "or" | "before" | "after" | "for");
                if !is_event {
                    self.is(Class::Write);
                    let locks = word == "update" && matches!(before, "for" | "key");
                    self.verbs.insert(if locks { "lock" } else { word }.to_owned());
                }
            }
            if matches!((before, word), ("for" | "key", "share")) {
                self.is(Class::Write);
                self.verbs.insert("lock".to_owned());
            }
            // `CREATE TABLE t AS EXECUTE q`.
            if word == "execute" && before == "as" {
                self.verbs.insert(word.to_owned());
            }
            // `SELECT … INTO t` makes a table.
            if word == "into" && !matches!(before, "insert" | "merge") && first != "import" {
                self.is(Class::Ddl);
                self.verbs.insert("create".to_owned());
            }
        }
    }
}

/// What stands behind `EXPLAIN` and its options.
fn explained<'a, 't>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut rest = tokens.get(1..).unwrap_or_default();
    // `EXPLAIN (SELECT …)` explains, and `EXPLAIN (ANALYZE) SELECT …` too.
    let is_option = |token: Option<&Token<'_>>| {
        !token
            .and_then(Token::word)
            .is_some_and(|word| matches!(word, "select" | "values" | "with" | "table"))
    };
    if matches!(rest.first(), Some(Token::Sign(b'('))) && is_option(rest.get(1)) {
        let end = rest.iter().position(|token| matches!(token, Token::Sign(b')')));
        return end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
    }
    while let Some(Token::Word(word)) = rest.first()
        && matches!(word.as_ref(), "analyze" | "analyse" | "verbose")
    {
        rest = rest.get(1..).unwrap_or_default();
    }
    rest
}

/// Names `pg_catalog`, or may: of several strings, one may be it.
fn moves_the_catalog(tokens: &[Token<'_>]) -> bool {
    let strings = tokens.iter().filter(|token| matches!(token, Token::Text)).count();
    strings > 1 || tokens.iter().any(|token| token.name() == Some("pg_catalog"))
}

/// A setting that changes the session alone.
pub(super) fn is_harmless(setting: &str) -> bool {
    HARMLESS_SETTINGS.contains(&setting)
        || setting.starts_with("enable_")
        || setting == "transaction_isolation"
}
