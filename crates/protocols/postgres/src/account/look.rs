//! A look at the server: log in, ask for its version, leave.

use bytes::BytesMut;
use hoop_engine::{Errand, ErrandOutput, Outcome};
use hoop_model::{Blame, Fault};

use super::wire::{Broken, Wire};

/// Where nothing else is said; every server has it.
const DATABASE: &str = "postgres";

/// The errand.
pub(crate) struct Look {
    wire: Wire,
    logged_in: bool,
}

impl Look {
    pub(crate) fn new(database: Option<&str>) -> Self {
        let mut wire = Wire::default();
        wire.connect(database.unwrap_or(DATABASE));
        Self { wire, logged_in: false }
    }
}

impl Errand for Look {
    fn poll_output(&mut self) -> ErrandOutput {
        self.wire.next()
    }

    fn handle_input(&mut self, input: &mut BytesMut) -> Result<(), Fault> {
        let answer = match self.wire.read(input) {
            Ok(None) => return Ok(()),
            Ok(Some(answer)) => answer,
            // The engine ends the stream, and says more about why than its client is told.
            Err(Broken::Refused(_)) => return Ok(()),
            Err(Broken::Malformed(why)) => return Err(cannot_be(why)),
        };
        if let Some(why) = answer.refused {
            let message = format!("the database server refused to tell its version: {}", why.message);
            return Err(Fault::new("HOOP-5012", Blame::Target, message));
        }
        if !self.logged_in {
            self.logged_in = true;
            self.wire.ask("SHOW server_version");
            return Ok(());
        }
        let version = answer.text(0, 0).ok_or_else(|| cannot_be("it has no version"))?;
        self.wire.finish(Outcome::Seen { version: format!("PostgreSQL {version}") });
        Ok(())
    }

    fn may_have_acted(&self) -> bool {
        false
    }
}

fn cannot_be(why: &str) -> Fault {
    let message = format!("the database server answered what cannot be: {why}");
    Fault::new("HOOP-5011", Blame::Target, message).with_hint("is it a PostgreSQL server?")
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &[u8] = b"Z\0\0\0\x05I";

    fn sends(look: &mut Look) -> usize {
        std::iter::from_fn(|| match look.poll_output() {
            ErrandOutput::Send(_) => Some(()),
            _ => None,
        })
        .count()
    }

    #[test]
    fn it_asks_once_it_is_in_and_then_leaves() {
        let mut look = Look::new(None);
        assert_eq!(sends(&mut look), 1);
        look.handle_input(&mut BytesMut::from(READY)).unwrap();
        assert_eq!(sends(&mut look), 1);
        let row = [b"D\0\0\0\x0e\0\x01\0\0\0\x0418.1", READY].concat();
        look.handle_input(&mut BytesMut::from(&row[..])).unwrap();
        assert_eq!(look.poll_output(), ErrandOutput::Send(bytes::Bytes::from_static(b"X\0\0\0\x04")));
        let seen = Outcome::Seen { version: "PostgreSQL 18.1".into() };
        assert_eq!(look.poll_output(), ErrandOutput::Done(seen));
        assert!(!look.may_have_acted());
    }

    #[test]
    fn what_cannot_be_an_answer_is_none() {
        for said in [&b"Z\0\0\0\x01"[..], &b"D\xff\xff\xff\xff"[..], &[READY, READY].concat()[..]] {
            let mut look = Look::new(Some("clinic"));
            let mut input = BytesMut::from(said);
            let mut outcome = look.handle_input(&mut input);
            if outcome.is_ok() {
                outcome = look.handle_input(&mut input);
            }
            assert!(outcome.is_err(), "{said:?}");
        }
    }
}
