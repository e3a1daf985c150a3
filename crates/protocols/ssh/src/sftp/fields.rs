//! Fields of a packet: every read can fail, and none goes past the end.

/// Longest handle (§3 of the draft).
pub(super) const LONGEST_HANDLE: usize = 256;

/// What is left of a packet's beginning.
pub(super) struct Fields<'p>(&'p [u8]);

impl<'p> Fields<'p> {
    pub(super) const fn of(packet: &'p [u8]) -> Self {
        Self(packet)
    }

    fn take(&mut self, count: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'p [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    pub(super) fn handle(&mut self) -> Option<&'p [u8]> {
        self.text().filter(|handle| handle.len() <= LONGEST_HANDLE)
    }

    pub(super) fn place(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// Bytes that are left.
    pub(super) const fn left(&self) -> usize {
        self.0.len()
    }
}
