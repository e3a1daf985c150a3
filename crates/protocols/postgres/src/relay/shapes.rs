//! The shapes of prepared statements and portals, remembered so that rows can be told apart from their columns even
//! where a client describes a statement once and runs it many times. Bounded: the oldest is forgotten first.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use hoop_policy::Terms;
use hoop_recording::event::Column;

use crate::{
    masking::{Field, Seen},
    wire::{Malformed, Reader},
};

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

type Fields = Arc<[Field]>;

#[derive(Debug, Clone)]
struct Statement {
    fields: Option<Fields>,
    text: Told,
}

/// What is known of a statement by its text.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// What it said about its answer.
    pub(super) seen: Option<Arc<Seen>>,
    /// What it is held to.
    pub(super) terms: Option<Terms>,
    /// It may give a name to something else than what was known by it.
    pub(super) gives_names: bool,
}

impl Told {
    /// It may be anything.
    const NOTHING: Self = Self { seen: None, terms: None, gives_names: true };

    fn cost(&self) -> usize {
        self.seen.as_ref().map_or(0, |seen| seen.cost()) + self.terms.as_ref().map_or(0, Terms::cost)
    }
}

#[derive(Debug, Clone)]
struct Portal {
    statement: Statement,
    /// `None`: as the columns themselves say.
    formats: Option<Formats>,
}

/// What is known of the statements and portals of one stream.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    statements: Named<Statement>,
    portals: Named<Portal>,
    /// Some name may stand for what is not known here.
    has_forgotten: bool,
}

impl Shapes {
    pub(super) fn parsed(&mut self, name: Bytes, text: Told) {
        let cost = text.cost();
        self.statements.put(name, Statement { fields: None, text }, cost);
    }

    pub(super) fn statement_described(&mut self, name: &Bytes, fields: Fields) {
        let text = self.statements.find(name).map_or(Told::NOTHING, |statement| statement.text.clone());
        let cost = cost(&fields) + text.cost();
        self.statements.put(name.clone(), Statement { fields: Some(fields), text }, cost);
    }

    pub(super) fn portal_described(&mut self, name: &Bytes, fields: Fields) {
        let text = self.portals.find(name).map_or(Told::NOTHING, |portal| portal.statement.text.clone());
        let cost = cost(&fields);
        let statement = Statement { fields: Some(fields), text };
        self.portals.put(name.clone(), Portal { statement, formats: None }, cost);
    }

    /// `terms`: those of the statement with the values that were bound, if that was asked.
    pub(super) fn bound(&mut self, portal: Bytes, statement: &Bytes, formats: Formats, terms: Option<Terms>) {
        // What is known is shared with the statement: no cost of its own.
        let found = self.statements.find(statement).cloned();
        let mut statement = found.unwrap_or(Statement { fields: None, text: Told::NOTHING });
        if terms.is_some() {
            statement.text.terms = terms;
        }
        self.portals.put(portal, Portal { statement, formats: Some(formats) }, 0);
    }

    pub(super) fn closed(&mut self, statement: bool, name: &Bytes) {
        if statement { self.statements.remove(name) } else { self.portals.remove(name) }
    }

    /// A transaction ended, and its portals with it.
    #[inline]
    pub(super) fn forget_portals(&mut self) {
        self.portals.clear_named();
    }

    /// What a portal's statement said about its answer, if that is known.
    pub(super) fn seen(&self, portal: &Bytes) -> Option<Arc<Seen>> {
        self.portals.find(portal)?.statement.text.seen.clone()
    }

    /// What a prepared statement is held to, if that is known.
    pub(super) fn terms_of_statement(&self, name: &Bytes) -> Option<&Terms> {
        self.statements.find(name)?.text.terms.as_ref()
    }

    /// What a portal is held to, if that is known.
    pub(super) fn terms_of_portal(&self, name: &Bytes) -> Option<&Terms> {
        self.portals.find(name)?.statement.text.terms.as_ref()
    }

    /// Whether running a portal may give a name to something else.
    pub(super) fn gives_names(&self, portal: &Bytes) -> bool {
        self.portals.find(portal).is_none_or(|portal| portal.statement.text.gives_names)
    }

    /// Any name may stand for anything.
    pub(super) fn forget_all(&mut self) {
        *self = Self { has_forgotten: true, ..Self::default() };
    }

    /// Some name may stand for what is not known here.
    pub(super) const fn have_forgotten(&self) -> bool {
        self.has_forgotten || self.statements.has_forgotten || self.portals.has_forgotten
    }

    /// The columns a portal's rows have, if they were ever told.
    pub(super) fn fields(&self, portal: &Bytes) -> Option<Vec<Field>> {
        let portal = self.portals.find(portal)?;
        let fields = portal.statement.fields.as_ref()?;
        let mut fields = fields.to_vec();
        if let Some(formats) = &portal.formats {
            for (at, field) in fields.iter_mut().enumerate() {
                field.column.binary = formats.is_binary(at);
            }
        }
        Some(fields)
    }
}

fn cost(fields: &[Field]) -> usize {
    fields.iter().map(|field| size_of::<Field>() + field.column.name.len()).sum()
}

/// The columns as the recording has them.
pub(super) fn columns(fields: &[Field]) -> Vec<Column> {
    fields.iter().map(|field| field.column.clone()).collect()
}

/// Values by name, the oldest forgotten first. The empty name, which changes with nearly every request, has its own place.
#[derive(Debug)]
struct Named<T> {
    unnamed: Option<T>,
    named: HashMap<Bytes, Kept<T>>,
    order: VecDeque<(u64, Bytes)>,
    next: u64,
    bytes: usize,
    /// Some were, for want of room.
    has_forgotten: bool,
}

#[derive(Debug)]
struct Kept<T> {
    value: T,
    born: u64,
    cost: usize,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            unnamed: None,
            named: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
            bytes: 0,
            has_forgotten: false,
        }
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
            self.has_forgotten = true;
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
pub(super) fn fields(mut body: Reader<'_>) -> Result<Vec<Field>, Malformed> {
    let count = body.u16()?;
    // At least 19 bytes each: what is announced is allocated only if it is there.
    let mut fields = Vec::with_capacity(usize::from(count).min(body.left() / 19));
    for _ in 0..count {
        let name = body.text()?;
        let (table, attribute) = (body.u32()?, body.u16()?.cast_signed());
        let type_id = body.u32()?;
        let _size = body.u16()?;
        let _modifier = body.u32()?;
        let binary = body.u16()? == 1;
        fields.push(Field { column: Column { name, type_id, binary }, table, attribute });
    }
    body.finish()?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &'static str) -> Fields {
        let column = Column { name: Bytes::from_static(name.as_bytes()), type_id: 23, binary: false };
        [Field { column, table: 0, attribute: 0 }].into()
    }

    fn name(number: usize) -> Bytes {
        Bytes::from(format!("s{number}"))
    }

    #[test]
    fn a_statement_described_once_tells_every_portal() {
        let mut shapes = Shapes::default();
        shapes.parsed(name(1), Told::NOTHING);
        shapes.statement_described(&name(1), shape("id"));
        shapes.bound(Bytes::new(), &name(1), Formats::All { binary: true }, None);
        assert!(shapes.fields(&Bytes::new()).unwrap()[0].column.binary);
        shapes.bound(name(9), &name(1), Formats::Each([false].into()), None);
        assert!(!shapes.fields(&name(9)).unwrap()[0].column.binary);
        shapes.forget_portals();
        assert!(shapes.fields(&name(9)).is_none());
        shapes.closed(true, &name(1));
        shapes.bound(Bytes::new(), &name(1), Formats::All { binary: true }, None);
        assert!(shapes.fields(&Bytes::new()).is_none());
    }

    #[test]
    fn a_statement_prepared_anew_has_no_shape() {
        let mut shapes = Shapes::default();
        shapes.statement_described(&Bytes::new(), shape("id"));
        shapes.parsed(Bytes::new(), Told::NOTHING);
        shapes.bound(Bytes::new(), &Bytes::new(), Formats::All { binary: false }, None);
        assert!(shapes.fields(&Bytes::new()).is_none());
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
            assert!(fields(Reader::new(&body, 0, body.len())).is_err(), "{body:?}");
        }
    }
}
