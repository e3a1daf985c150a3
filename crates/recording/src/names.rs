//! What the names stand for that a client gives to prepared statements and portals.
//!
//! A name that is taken cannot be given again: the server refuses, and the name stands for what it stood for. So a name
//! keeps what it may still stand for, until an answer tells; else a client could show one statement and run another.

use std::collections::HashMap;

use bytes::Bytes;
use hoop_model::StreamId;

use crate::event::RequestId;

/// So many that are not answered yet are told apart; of more, none is believed.
const MOST_UNANSWERED: usize = 64;

/// What one name may stand for, the newest last, each with the request that gave it.
type Meanings<T> = Vec<(RequestId, T)>;

/// By stream and name.
#[derive(Debug)]
pub(crate) struct Names<T> {
    given: HashMap<(Option<StreamId>, Bytes), Meanings<T>>,
    most: usize,
}

impl<T: Clone + Default> Names<T> {
    /// At most so many: a hostile client names without end. What has no room stands for nothing.
    pub(crate) fn new(most: usize) -> Self {
        Self { given: HashMap::new(), most }
    }

    /// A request gives a name. All requests of the stream before `answered` have been answered.
    pub(crate) fn give(
        &mut self,
        stream: Option<StreamId>,
        name: &Bytes,
        by: RequestId,
        what: T,
        answered: RequestId,
    ) {
        let key = (stream, name.clone());
        if self.given.len() >= self.most && !self.given.contains_key(&key) {
            return;
        }
        let meanings = self.given.entry(key).or_default();
        if let Some(settled) = meanings.iter().rposition(|(id, _)| *id < answered) {
            meanings.drain(..settled);
        }
        if name.is_empty() {
            // The nameless one is replaced whatever comes of it.
            meanings.clear();
        } else if meanings.len() >= MOST_UNANSWERED {
            *meanings = vec![(RequestId(u64::MAX), T::default())];
        }
        meanings.push((by, what));
    }

    /// What a name stands for, and by which request, as far as it is known.
    pub(crate) fn find(&self, stream: Option<StreamId>, name: &Bytes) -> Option<&(RequestId, T)> {
        self.given.get(&(stream, name.clone()))?.last()
    }

    /// The request failed: what its name stood for before, if anything.
    pub(crate) fn take_back(
        &mut self,
        stream: Option<StreamId>,
        name: &Bytes,
        by: RequestId,
    ) -> Option<(RequestId, T)> {
        let meanings = self.given.get_mut(&(stream, name.clone()))?;
        let at = meanings.iter().position(|(id, _)| *id == by)?;
        meanings.remove(at);
        at.checked_sub(1).and_then(|before| meanings.get(before)).cloned()
    }

    /// What a request's name stands for is known better now.
    pub(crate) fn correct(&mut self, stream: Option<StreamId>, name: &Bytes, by: RequestId, what: T) {
        let meanings = self.given.get_mut(&(stream, name.clone())).into_iter().flatten();
        meanings.filter(|(id, _)| *id == by).for_each(|(_, held)| *held = what.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NAME: Bytes = Bytes::from_static(b"s");

    fn given(most: usize, count: u64) -> Names<u64> {
        let mut names = Names::new(most);
        (1..=count).for_each(|id| names.give(None, &NAME, RequestId(id), id, RequestId(0)));
        names
    }

    #[test]
    fn a_name_means_what_it_meant_before_what_failed() {
        let mut names = given(9, 3);
        assert_eq!(names.take_back(None, &NAME, RequestId(2)), Some((RequestId(1), 1)));
        assert_eq!(names.find(None, &NAME), Some(&(RequestId(3), 3)));
        assert_eq!(names.take_back(None, &NAME, RequestId(3)), Some((RequestId(1), 1)));
        assert_eq!(names.take_back(None, &NAME, RequestId(1)), None);
        assert_eq!(names.find(None, &NAME), None);
    }

    #[test]
    fn of_too_many_unanswered_none_is_believed() {
        let mut names = given(9, 200);
        for id in 1..=200 {
            let _ = names.take_back(None, &NAME, RequestId(id));
        }
        assert_eq!(names.find(None, &NAME), Some(&(RequestId(u64::MAX), 0)));
        assert!(names.given.values().all(|meanings| meanings.len() <= MOST_UNANSWERED));
    }

    #[test]
    fn what_was_answered_is_forgotten_but_for_the_last_and_names_have_their_room() {
        let mut names = given(1, 3);
        names.give(None, &NAME, RequestId(9), 9, RequestId(8));
        assert_eq!(names.given.values().next().unwrap().len(), 2);
        names.give(Some(StreamId(1)), &NAME, RequestId(10), 10, RequestId(8));
        assert_eq!(names.find(Some(StreamId(1)), &NAME), None);
    }
}
