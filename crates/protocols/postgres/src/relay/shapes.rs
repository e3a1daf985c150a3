//! The shapes of prepared statements and portals, remembered so that rows can be told apart from their columns even
//! where a client describes a statement once and runs it many times. Bounded: the oldest is forgotten first.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use hoop_recording::event::Column;

use crate::wire::{Malformed, Reader};

/// Most names remembered of each kind.
const MOST_NAMES: usize = 4096;

/// Most bytes of columns remembered of each kind.
const MOST_BYTES: usize = 4 << 20;

/// In which form a portal's columns come, as `Bind` asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Formats {
    /// All alike.
    All { binary: bool },
    /// One a column.
    Each(Arc<[bool]>),
}

impl Formats {
    fn is_binary(&self, column: usize) -> bool {
        match self {
            Self::All { binary } => *binary,
            Self::Each(each) => each.get(column).copied().unwrap_or(false),
        }
    }
}

type Columns = Arc<[Column]>;

#[derive(Debug, Clone)]
struct Portal {
    columns: Option<Columns>,
    /// `None`: as the columns themselves say.
    formats: Option<Formats>,
}

/// What is known of the statements and portals of one stream.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    statements: Named<Option<Columns>>,
    portals: Named<Portal>,
}

impl Shapes {
    pub(super) fn parsed(&mut self, name: Bytes) {
        self.statements.put(name, None, 0);
    }

    pub(super) fn statement_described(&mut self, name: &Bytes, columns: Columns) {
        let cost = cost(&columns);
        self.statements.put(name.clone(), Some(columns), cost);
    }

    pub(super) fn portal_described(&mut self, name: &Bytes, columns: Columns) {
        let cost = cost(&columns);
        self.portals.put(name.clone(), Portal { columns: Some(columns), formats: None }, cost);
    }

    pub(super) fn bound(&mut self, portal: Bytes, statement: &Bytes, formats: Formats) {
        // The columns are shared with the statement: no cost of their own.
        let columns = self.statements.find(statement).cloned().flatten();
        self.portals.put(portal, Portal { columns, formats: Some(formats) }, 0);
    }

    pub(super) fn closed(&mut self, statement: bool, name: &Bytes) {
        if statement { self.statements.remove(name) } else { self.portals.remove(name) }
    }

    /// A transaction ended, and its portals with it.
    #[inline]
    pub(super) fn forget_portals(&mut self) {
        self.portals.clear_named();
    }

    /// The columns a portal's rows have, if they were ever told.
    pub(super) fn columns(&self, portal: &Bytes) -> Option<Vec<Column>> {
        let portal = self.portals.find(portal)?;
        let columns = portal.columns.as_ref()?;
        Some(match &portal.formats {
            None => columns.to_vec(),
            Some(formats) => {
                let with = |(at, column): (usize, &Column)| Column {
                    binary: formats.is_binary(at),
                    ..column.clone()
                };
                columns.iter().enumerate().map(with).collect()
            }
        })
    }
}

fn cost(columns: &[Column]) -> usize {
    columns.iter().map(|c| size_of::<Column>() + c.name.len()).sum()
}

/// Values by name, the oldest forgotten first. The empty name, which changes with nearly every request, has its own place.
#[derive(Debug)]
struct Named<T> {
    unnamed: Option<T>,
    named: HashMap<Bytes, Kept<T>>,
    order: VecDeque<(u64, Bytes)>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Kept<T> {
    value: T,
    born: u64,
    cost: usize,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { unnamed: None, named: HashMap::new(), order: VecDeque::new(), next: 0, bytes: 0 }
    }
}

impl<T> Named<T> {
    #[inline]
    fn find(&self, name: &Bytes) -> Option<&T> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name).map(|kept| &kept.value) }
    }

    fn put(&mut self, name: Bytes, value: T, cost: usize) {
        if name.is_empty() {
            self.unnamed = Some(value);
            return;
        }
        // A name kept for long must not keep alive the buffer in which it was read.
        let name = Bytes::copy_from_slice(&name);
        let cost = cost + 2 * name.len();
        self.remove(&name);
        let born = self.next;
        self.next += 1;
        self.bytes += cost;
        self.order.push_back((born, name.clone()));
        self.named.insert(name, Kept { value, born, cost });
        while self.named.len() > MOST_NAMES || (self.bytes > MOST_BYTES && self.named.len() > 1) {
            self.forget_oldest();
        }
        if self.order.len() > 2 * MOST_NAMES {
            let named = &self.named;
            self.order.retain(|(born, name)| named.get(name).is_some_and(|kept| kept.born == *born));
        }
    }

    fn forget_oldest(&mut self) {
        let Some((born, name)) = self.order.pop_front() else { return };
        if self.named.get(&name).is_some_and(|kept| kept.born == born) {
            self.remove(&name);
        }
    }

    fn remove(&mut self, name: &Bytes) {
        if name.is_empty() {
            self.unnamed = None;
        } else if let Some(kept) = self.named.remove(name) {
            self.bytes -= kept.cost;
        }
    }

    #[inline]
    fn clear_named(&mut self) {
        if !self.named.is_empty() {
            self.named.clear();
            self.order.clear();
            self.bytes = 0;
        }
    }
}

/// Reads a `RowDescription`'s body; the names share its bytes.
pub(super) fn columns(mut body: Reader<'_>) -> Result<Vec<Column>, Malformed> {
    let count = body.u16()?;
    // At least 19 bytes each: what is announced is allocated only if it is there.
    let mut columns = Vec::with_capacity(usize::from(count).min(body.left() / 19));
    for _ in 0..count {
        let name = body.text()?;
        let _table = body.u32()?;
        let _attribute = body.u16()?;
        let type_id = body.u32()?;
        let _size = body.u16()?;
        let _modifier = body.u32()?;
        let binary = body.u16()? == 1;
        columns.push(Column { name, type_id, binary });
    }
    body.finish()?;
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &'static str) -> Columns {
        [Column { name: Bytes::from_static(name.as_bytes()), type_id: 23, binary: false }].into()
    }

    fn name(number: usize) -> Bytes {
        Bytes::from(format!("s{number}"))
    }

    #[test]
    fn a_statement_described_once_tells_every_portal() {
        let mut shapes = Shapes::default();
        shapes.parsed(name(1));
        shapes.statement_described(&name(1), shape("id"));
        shapes.bound(Bytes::new(), &name(1), Formats::All { binary: true });
        assert!(shapes.columns(&Bytes::new()).unwrap()[0].binary);
        shapes.bound(name(9), &name(1), Formats::Each([false].into()));
        assert!(!shapes.columns(&name(9)).unwrap()[0].binary);
        shapes.forget_portals();
        assert!(shapes.columns(&name(9)).is_none());
        shapes.closed(true, &name(1));
        shapes.bound(Bytes::new(), &name(1), Formats::All { binary: true });
        assert!(shapes.columns(&Bytes::new()).is_none());
    }

    #[test]
    fn a_statement_prepared_anew_has_no_shape() {
        let mut shapes = Shapes::default();
        shapes.statement_described(&Bytes::new(), shape("id"));
        shapes.parsed(Bytes::new());
        shapes.bound(Bytes::new(), &Bytes::new(), Formats::All { binary: false });
        assert!(shapes.columns(&Bytes::new()).is_none());
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut shapes = Shapes::default();
        for number in 0..=MOST_NAMES {
            shapes.statement_described(&name(number), shape("id"));
        }
        assert_eq!(shapes.statements.named.len(), MOST_NAMES);
        assert!(shapes.statements.find(&name(0)).is_none());
        assert!(shapes.statements.find(&name(MOST_NAMES)).is_some());
    }

    #[test]
    fn endless_preparing_and_closing_keeps_little() {
        let mut names = Named::default();
        for _ in 0..100_000 {
            names.put(name(1), (), 10);
            names.remove(&name(1));
        }
        assert_eq!((names.bytes, names.named.len()), (0, 0));
        assert!(names.order.len() <= 2 * MOST_NAMES + 1);
    }

    #[test]
    fn huge_shapes_push_out_others() {
        let mut names = Named::default();
        for number in 0..100 {
            names.put(name(number), (), MOST_BYTES / 4);
        }
        assert!(names.bytes <= MOST_BYTES);
    }

    #[test]
    fn descriptions_that_lie() {
        for body in [&b""[..], b"\xff\xff", b"\0\x01id\0\0\0", b"\0\0x", b"\0\x01id"] {
            let body = Bytes::copy_from_slice(body);
            assert!(columns(Reader::new(&body, 0, body.len())).is_err(), "{body:?}");
        }
    }
}
