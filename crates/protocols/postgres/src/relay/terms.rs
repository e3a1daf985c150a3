//! What requests are held to whose text was sent earlier, and what answers are.
//!
//! The target alone knows what stands behind a name: a request of a pipeline may fail, and those behind it are skipped. So whatever
//! may stand there counts: what the target has confirmed, and what is on its way.

use bytes::Bytes;
use hoop_engine::{Event, RequestId};
use hoop_model::Timestamp;
use hoop_policy::{Returned, Terms};

use super::{
    Relay,
    expected::{Await, Entry},
};
use crate::{
    fault::{self, Failure},
    outbox::Outbox,
};

impl Relay {
    /// Of a prepared statement. Nothing: it is not known.
    pub(super) fn terms_of_statement(&self, name: &Bytes) -> Vec<Terms> {
        let is_it = |what: &Await| match what {
            Await::Parse { name: parsed } if parsed == name => Some(Named::Made),
            Await::Close { statement: true, name: closed } if closed == name => Some(Named::Closed),
            _ => None,
        };
        self.terms_of(is_it, self.shapes.terms_of_statement(name))
    }

    /// Of a portal. Nothing: it is not known.
    pub(super) fn terms_of_portal(&self, name: &Bytes) -> Vec<Terms> {
        let is_it = |what: &Await| match what {
            Await::Bind { portal, .. } if portal == name => Some(Named::Made),
            Await::Close { statement: false, name: closed } if closed == name => Some(Named::Closed),
            _ => None,
        };
        self.terms_of(is_it, self.shapes.terms_of_portal(name))
    }

    fn terms_of(&self, is_it: impl Fn(&Await) -> Option<Named>, confirmed: Option<&Terms>) -> Vec<Terms> {
        let (mut found, mut same_pipeline) = (Vec::new(), true);
        for entry in self.expected.pending().rev() {
            if entry.gives_names && (entry.what.runs() || matches!(entry.what, Await::FunctionCall)) {
                return Vec::new();
            }
            same_pipeline &= !entry.what.ends_with_ready();
            match is_it(&entry.what) {
                None => continue,
                Some(Named::Closed) => {}
                Some(Named::Made) => {
                    let Some(terms) = &entry.terms else { return Vec::new() };
                    found.push(terms.clone());
                }
            }
            // If it fails, what is asked for now is skipped too.
            if same_pipeline {
                return found;
            }
        }
        match confirmed {
            Some(terms) => found.push(terms.clone()),
            // If what is on its way fails, something else may stand there.
            None if self.shapes.have_forgotten() => return Vec::new(),
            None => {}
        }
        found
    }

    /// The answer to a request is about to go on: is it within what the request is held to?
    pub(super) fn hold(
        &mut self,
        (terms, id): (&Terms, RequestId),
        more: Returned,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<(), Failure> {
        let answer = &mut self.target.returned;
        answer.rows = answer.rows.saturating_add(more.rows);
        answer.bytes = answer.bytes.saturating_add(more.bytes);
        terms.returned(*answer, more, now).map_err(|denial| {
            let fault = denial.to_fault();
            let (code, message) = (fault.code.as_str().to_owned(), fault.message.clone());
            out.record(Event::Denied { id, code, message });
            fault::too_much(fault)
        })
    }

    /// A request has run, or some of it: what is known by name may be known no more.
    pub(super) fn names_may_be_given(&mut self) {
        if self.masks.is_none() && !self.looks_again {
            return;
        }
        let mut pending = self.expected.pending().filter(|entry| !matches!(entry.what, Await::CopyEnd));
        let Some(entry) = pending.next() else { return };
        let (gives, seen) = match &entry.what {
            Await::Execute { portal } => (self.shapes.gives_names(portal), self.shapes.seen(portal)),
            _ => (entry.gives_names, entry.seen.clone()),
        };
        let moves = seen.as_ref().is_some_and(|seen| seen.moves_names);
        let undoes = self.has_moved && seen.is_none_or(|seen| seen.undoes);
        self.has_moved |= moves;
        if gives || moves || undoes {
            self.shapes.forget_all();
        }
    }

    /// Nothing runs. What was set in a transaction may be taken back with it.
    pub(super) fn transaction_may_have_ended(&mut self) {
        if self.status == b'I' && std::mem::take(&mut self.has_moved) {
            self.shapes.forget_all();
        }
    }
}

/// What becomes of a name.
enum Named {
    Made,
    Closed,
}

impl Entry {
    /// What its answer is held to, where anything is.
    pub(super) fn limits(&self) -> Option<(Terms, RequestId)> {
        let terms = self.terms.as_ref().filter(|terms| !terms.is_free())?;
        Some((terms.clone(), self.id.unwrap_or_default()))
    }
}
