//! Cuts one side's stream into chunks that end where a frame may be cut, without copying what came in.
//!
//! A frame is a type byte and an `i32` length that counts itself. A [`Rule`] says of each type how much must be there
//! before anything is done with it: small and inspected frames are needed whole, bulk ones only with their header. So a
//! chunk is: the rest of a frame cut earlier, any number of whole frames, and maybe the first part of one more.

use bytes::{Bytes, BytesMut};

use super::Malformed;

/// Type byte and length.
pub(crate) const HEADER: usize = 5;

/// A part of a frame up to this size stays in the driver's buffer; more is gathered here.
const LEAVE: usize = 32 << 10;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Type byte.
    pub(crate) kind: u8,
    /// Bytes of the frame as a whole, type and length included; at least [`HEADER`].
    pub(crate) total: usize,
}

impl Header {
    /// The header at the front of `bytes`, if it is there in full.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<Result<Self, Malformed>> {
        let [kind, a, b, c, d] = *bytes.first_chunk::<HEADER>()?;
        let length = u32::from_be_bytes([a, b, c, d]);
        if !(4..=0x7fff_ffff).contains(&length) {
            return Some(Err(Malformed("its length is impossible")));
        }
        Some(Ok(Self { kind, total: length as usize + 1 }))
    }
}

/// Why a stream cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The type byte of the frame.
    pub(crate) kind: u8,
    /// What is wrong with it.
    pub(crate) why: Malformed,
}

/// How many bytes of a frame must be there before it is processed: at least [`HEADER`], at most `total`.
pub(crate) type Rule = fn(Header) -> Result<usize, Malformed>;

/// One side's framing.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Front part of a frame that is needed whole and is larger than [`LEAVE`].
    gathered: BytesMut,
    /// Bytes still to come of a frame that was cut.
    cut: usize,
}

impl Intake {
    /// Takes from the front of `input` what can be processed, in one or two chunks.
    ///
    /// A refusal concerns what comes behind these chunks.
    #[inline]
    pub(crate) fn take(
        &mut self,
        input: &mut BytesMut,
        rule: Rule,
        mut chunk: impl FnMut(Bytes),
    ) -> Result<(), Refusal> {
        if !self.gathered.is_empty() && !self.gather(input, rule, &mut chunk)? {
            return Ok(());
        }
        let (ready, verdict) = self.measure(input, rule);
        if ready > 0 {
            chunk(input.split_to(ready).freeze());
        }
        if let Some(Wanted { need, .. }) = verdict?
            && need > LEAVE
        {
            self.gathered = input.split();
        }
        Ok(())
    }

    /// How many bytes at the front of `input` are ready, and what is wanted of the frame behind them.
    #[inline]
    fn measure(&mut self, input: &[u8], rule: Rule) -> (usize, Result<Option<Wanted>, Refusal>) {
        let mut ready = self.cut.min(input.len());
        self.cut -= ready;
        loop {
            let rest = input.get(ready..).unwrap_or_default();
            let Some(header) = Header::read(rest) else { return (ready, Ok(None)) };
            let wanted = match want(header, rest, rule) {
                Ok(wanted) => wanted,
                Err(refusal) => return (ready, Err(refusal)),
            };
            if rest.len() < wanted.need {
                return (ready, Ok(Some(wanted)));
            }
            let here = wanted.total.min(rest.len());
            ready += here;
            self.cut = wanted.total - here;
        }
    }

    /// Adds to a large frame; true once it is complete and handed on.
    fn gather(
        &mut self,
        input: &mut BytesMut,
        rule: Rule,
        chunk: &mut impl FnMut(Bytes),
    ) -> Result<bool, Refusal> {
        let Some(header) = Header::read(&self.gathered) else { return Ok(false) };
        let wanted = want(header, &self.gathered, rule)?;
        let missing = wanted.need.saturating_sub(self.gathered.len()).min(input.len());
        self.gathered.extend_from_slice(&input.split_to(missing));
        if self.gathered.len() < wanted.need {
            return Ok(false);
        }
        self.cut = wanted.total - self.gathered.len().min(wanted.total);
        chunk(std::mem::take(&mut self.gathered).freeze());
        Ok(true)
    }
}

struct Wanted {
    need: usize,
    total: usize,
}

#[inline]
fn want(header: Result<Header, Malformed>, bytes: &[u8], rule: Rule) -> Result<Wanted, Refusal> {
    let refuse = |why| Refusal { kind: bytes.first().copied().unwrap_or_default(), why };
    let header = header.map_err(refuse)?;
    let need = rule(header).map_err(refuse)?;
    Ok(Wanted { need, total: header.total })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(header: Header) -> Result<usize, Malformed> {
        match header.kind {
            b'd' => Ok(HEADER),
            b'h' => Ok(header.total.min(40_000)),
            b'w' => Ok(header.total),
            _ => Err(Malformed("unknown")),
        }
    }

    fn frame(kind: u8, body: usize) -> Vec<u8> {
        let length = u32::try_from(body + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), &vec![kind; body]].concat()
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for length in [0_u32, 1, 3, 0x8000_0000, u32::MAX] {
            let mut input = BytesMut::from(&[&b"w"[..], &length.to_be_bytes()].concat()[..]);
            let refusal = Intake::default().take(&mut input, rule, |_| ()).unwrap_err();
            assert_eq!(refusal.kind, b'w', "{length}");
        }
    }

    #[test]
    fn a_large_frame_does_not_stay_in_the_drivers_buffer() {
        let mut intake = Intake::default();
        let mut input = BytesMut::from(&frame(b'w', 100_000)[..50_000]);
        intake.take(&mut input, rule, |_| panic!("not complete")).unwrap();
        assert!(input.is_empty());
        assert_eq!(intake.gathered.len(), 50_000);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_bytes_and_cuts_only_where_allowed(
            frames in prop::collection::vec((prop::sample::select(vec![b'd', b'h', b'w']), 0_usize..90_000), 0..6),
            cuts in prop::collection::vec(1_usize..60_000, 1..20),
        ) {
            let all: Vec<u8> = frames.iter().flat_map(|(kind, body)| frame(*kind, *body)).collect();
            let (mut intake, mut input, mut out) = (Intake::default(), BytesMut::new(), Vec::new());
            let (mut rest, mut cuts) = (&all[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                input.extend_from_slice(now);
                intake.take(&mut input, rule, |chunk| out.extend_from_slice(&chunk)).unwrap();
                prop_assert!(input.len() <= LEAVE);
                rest = later;
            }
            prop_assert!(intake.cut == 0);
            prop_assert_eq!(out, all);
        }
    }
}
