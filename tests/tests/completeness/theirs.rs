//! What the server says that it ran: its own log under `log_statement=all`, connection by connection.
//!
//! A statement is logged before it runs, with its bind values below it. One that cannot even be read (a syntax error, a
//! table that is not there at `Parse`, a value that does not fit at `Bind`) is logged with its error alone.

use std::collections::BTreeMap;

/// Says beside each line which process wrote it and what that was at.
pub(crate) const PREFIX: &str = "log_line_prefix=%p [%i] ";

/// A statement as the server logged it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Logged {
    pub(crate) text: String,
    /// As the types' output functions write them.
    pub(crate) values: Vec<Option<String>>,
    pub(crate) failed: bool,
    /// It was not run: the error came while it was read or bound.
    pub(crate) unread: bool,
}

impl Logged {
    fn is_call(&self) -> bool {
        self.text.starts_with(CALL)
    }
}

/// How a function call is written here, before its number.
pub(crate) const CALL: &str = "function ";

/// The statements of each connection, in order.
pub(crate) fn logged(log: &str) -> Vec<Vec<Logged>> {
    let mut all: BTreeMap<u32, Vec<Logged>> = BTreeMap::new();
    let mut failing: BTreeMap<u32, bool> = BTreeMap::new();
    for entry in entries(log) {
        let Some((process, doing, severity, said)) = parts(&entry) else { continue };
        let statements = all.entry(process).or_default();
        match severity {
            "LOG" => statements.extend(statement(said)),
            "DETAIL" => {
                let values = said.strip_prefix("Parameters: ").or_else(|| said.strip_prefix("parameters: "));
                if let (Some(values), Some(last)) = (values, statements.last_mut()) {
                    last.values = parse_values(values);
                }
            }
            // The error of a function call names no statement.
            "ERROR" if statements.last().is_some_and(Logged::is_call) => {
                statements.last_mut().into_iter().for_each(|last| last.failed = true);
            }
            "ERROR" => drop(failing.insert(process, matches!(doing, "PARSE" | "BIND"))),
            "STATEMENT" => {
                let unread = failing.remove(&process).unwrap_or(false);
                let last = statements.last_mut().filter(|last| !unread && !last.failed && last.text == said);
                match last {
                    Some(last) => last.failed = true,
                    None => statements.push(Logged {
                        text: said.to_owned(),
                        failed: true,
                        unread: true,
                        ..Logged::default()
                    }),
                }
            }
            _ => {}
        }
    }
    all.into_values().filter(|statements| !statements.is_empty()).collect()
}

/// Lines that belong together: a text of several lines goes on behind a tab.
fn entries(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.strip_suffix('\n').unwrap_or(log).split('\n') {
        match (line.strip_prefix('\t'), entries.last_mut()) {
            (Some(more), Some(last)) => {
                last.push('\n');
                last.push_str(more);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    entries
}

/// Process, what it is at, severity, and what is said.
fn parts(entry: &str) -> Option<(u32, &str, &str, &str)> {
    let (process, rest) = entry.split_once(" [")?;
    let (doing, rest) = rest.split_once("] ")?;
    let (severity, said) = rest.split_once(":  ")?;
    Some((process.parse().ok()?, doing, severity, said))
}

fn statement(said: &str) -> Option<Logged> {
    let function = said.strip_prefix("fastpath function call: ");
    let text = said
        .strip_prefix("statement: ")
        // `execute NAME: …`, `execute NAME/PORTAL: …`, `execute fetch from …: …`
        .or_else(|| said.strip_prefix("execute ")?.split_once(": ").map(|(_, text)| text));
    let text = match (text, function) {
        (Some(text), _) => text.to_owned(),
        (None, Some(call)) => format!("{CALL}{}", call.split_once("(OID ")?.1.trim_end_matches(')')),
        _ => return None,
    };
    Some(Logged { text, ..Logged::default() })
}

/// `$1 = 'it''s', $2 = NULL`
fn parse_values(mut rest: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    while let Some((_, value)) = rest.split_once(" = ") {
        if let Some(after) = value.strip_prefix("NULL") {
            values.push(None);
            rest = after;
            continue;
        }
        let inner = value.strip_prefix('\'').unwrap_or_else(|| panic!("no value: {value}"));
        let mut text = String::new();
        let mut after = inner;
        loop {
            let (before, behind) = after.split_once('\'').unwrap_or_else(|| panic!("no end: {value}"));
            text.push_str(before);
            match behind.strip_prefix('\'') {
                Some(behind) => {
                    text.push('\'');
                    after = behind;
                }
                None => {
                    values.push(Some(text));
                    rest = behind;
                    break;
                }
            }
        }
    }
    values
}

#[test]
fn the_log_is_read_as_the_server_writes_it() {
    let log = "7 [idle] LOG:  statement: select 'a\n\tb'\n\
         8 [SELECT] LOG:  execute S_1/C_2: select $1, $2\n\
         8 [SELECT] DETAIL:  parameters: $1 = 'it''s = NULL, $9 = ''\n\t', $2 = NULL\n\
         8 [SELECT] ERROR:  division by zero\n8 [SELECT] STATEMENT:  select $1, $2\n\
         8 [PARSE] ERROR:  no such thing\n8 [PARSE] STATEMENT:  select $1, $2\n\
         7 [idle] LOG:  fastpath function call: \"lo_creat\" (OID 957)\n";
    let entry = |text: &str| Logged { text: text.to_owned(), ..Logged::default() };
    let values = vec![Some("it's = NULL, $9 = '\n".to_owned()), None];
    assert_eq!(
        logged(log),
        [
            vec![entry("select 'a\nb'"), entry("function 957")],
            vec![
                Logged { values, failed: true, ..entry("select $1, $2") },
                Logged { failed: true, unread: true, ..entry("select $1, $2") },
            ],
        ]
    );
}
