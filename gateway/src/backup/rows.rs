//! What single columns of rows mean, for those who make a backup and those who check one.

use hoop_model::{AgentId, SessionId};
use hoop_store::{Cell, Kind, Table};

/// A session, as far as its recording goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Who recorded it.
    pub(super) agent: AgentId,
    /// Its recording is in the folder, with its end.
    pub(super) whole: bool,
}

pub(super) struct Row<'a> {
    pub(super) table: &'a Table,
    pub(super) cells: &'a [Cell],
}

impl Row<'_> {
    fn cell(&self, name: &str, kind: Kind) -> Option<&Cell> {
        let at = self.table.columns.iter().position(|(column, of)| column == name && *of == kind)?;
        self.cells.get(at)
    }

    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.cell(name, Kind::Bytes)? {
            Cell::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn id(&self, name: &str) -> Option<[u8; 16]> {
        self.bytes(name)?.try_into().ok()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.cell(name, Kind::Text)? {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        match self.cell(name, Kind::Int)? {
            Cell::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// What a row of `sessions` says of its recording.
    pub(super) fn session(&self) -> Option<Session> {
        let id = self.id("id").map(SessionId::from_bytes)?;
        let agent = self.id("agent_id").map(AgentId::from_bytes)?;
        // What is in a store of objects, or was deleted, is no part of a backup.
        let elsewhere = self.int("stored_at").is_some() || self.int("deleted_at").is_some();
        let ended = self.text("state") == Some("ended") && self.bytes("manifest").is_some();
        Some(Session { id, agent, whole: ended && !elsewhere })
    }
}
