//! What our recording says that was run: the exported JSON lines, where nothing is left out, connection by connection.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::theirs::CALL;

/// A statement as we recorded it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Recorded {
    pub(crate) text: String,
    /// As the export shows them: text, `{"binary": hex, …}`, `null`.
    pub(crate) values: Vec<Value>,
    pub(crate) failed: bool,
    /// The error came for a `Parse` or a `Bind`: nothing ran.
    pub(crate) unread: bool,
    /// The target did not run it: empty, or behind an error in a pipeline.
    not_run: bool,
}

/// A stream's prepared statements, portals, and requests by id.
#[derive(Default)]
struct Stream {
    prepared: HashMap<String, String>,
    portals: HashMap<String, (String, Vec<Value>)>,
    requests: BTreeMap<u64, Recorded>,
    binds: BTreeSet<u64>,
    executes: BTreeSet<u64>,
    /// A name is not taken by a `Parse` or a `Bind` that failed, also where the failure came later than the next request.
    failed: BTreeSet<u64>,
}

/// The statements of each connection, in order.
pub(crate) fn recorded(lines: &str) -> Vec<Vec<Recorded>> {
    let mut streams: BTreeMap<u64, Stream> = BTreeMap::new();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in lines.iter().filter(|line| line["kind"] == "failed" && line["id"].is_u64()) {
        let stream = streams.entry(line["stream"].as_u64().unwrap()).or_default();
        stream.failed.insert(line["id"].as_u64().unwrap());
    }
    for line in lines {
        assert_ne!(line["kind"], "gap", "{line}");
        let Some(stream) = line["stream"].as_u64() else { continue };
        let stream = streams.entry(stream).or_default();
        let Some(id) = line["id"].as_u64() else { continue };
        match line["kind"].as_str().unwrap() {
            "request" => stream.request(id, &line),
            // Behind an error in a pipeline the target skips: recorded with an empty code, and never logged by it.
            "failed" if line["code"] == "" => stream.change(id, |request| request.not_run = true),
            // A `Bind` that names a statement that is not there has no text: the server's error has none either.
            "failed" if line["code"] == "26000" && stream.binds.contains(&id) => {
                stream.change(id, |request| request.not_run = true)
            }
            "failed" => stream.change(id, |request| request.failed = true),
            // An empty statement, or only a comment, is answered and neither run nor logged.
            "completed" if line["tag"] == "" && stream.executes.contains(&id) => {
                stream.change(id, |request| request.not_run = true)
            }
            _ => {}
        }
    }
    let ran = |stream: Stream| -> Vec<Recorded> {
        let requests = stream.requests.into_values();
        // A `Parse` or `Bind` that went well has run nothing, and the server logs nothing.
        requests.filter(|request| !request.not_run && (!request.unread || request.failed)).collect()
    };
    streams.into_values().map(ran).filter(|requests| !requests.is_empty()).collect()
}

impl Stream {
    fn change(&mut self, id: u64, change: impl FnOnce(&mut Recorded)) {
        if let Some(request) = self.requests.get_mut(&id) {
            change(request);
        }
    }

    fn request(&mut self, id: u64, line: &Value) {
        let name = |kind: &str| line["names"][kind].as_str().unwrap_or_default().to_owned();
        let (text, values) = (line["text"].as_str().unwrap_or_else(|| panic!("no text: {line}")), || {
            line["parameters"].as_array().unwrap().clone()
        });
        let request = match line["form"].as_str().unwrap() {
            "query" => Recorded { text: text.to_owned(), ..Recorded::default() },
            "prepare" => {
                if !self.failed.contains(&id) {
                    self.prepared.insert(name("statement"), text.to_owned());
                }
                Recorded { text: text.to_owned(), unread: true, ..Recorded::default() }
            }
            "bind" => {
                self.binds.insert(id);
                let text = self.prepared.get(&name("statement")).cloned().unwrap_or_default();
                if !self.failed.contains(&id) {
                    self.portals.insert(name("portal"), (text.clone(), values()));
                }
                Recorded { text, unread: true, ..Recorded::default() }
            }
            "execute" => {
                self.executes.insert(id);
                let (text, values) = self.portals.get(&name("portal")).cloned().unwrap_or_default();
                Recorded { text, values, ..Recorded::default() }
            }
            // The server logs which function, not with what.
            "function_call" => {
                Recorded { text: format!("{CALL}{}", line["names"]["function"]), ..Recorded::default() }
            }
            _ => return,
        };
        self.requests.insert(id, request);
    }
}
