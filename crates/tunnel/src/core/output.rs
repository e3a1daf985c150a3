//! What a core writes onto its carrier: frames are made when the one before is written, not earlier.

use std::io::IoSlice;

use super::{
    Carrier, Core,
    frame::{Control, Header, Kind, MAX_DATA},
};

impl Core {
    /// Whether there is something to write onto the carrier.
    #[must_use]
    pub fn has_output(&self) -> bool {
        if !self.is_attached() {
            return false;
        }
        let owed = self.head_at < self.head.len() || self.data_left > 0 || self.greeting.is_some();
        if owed || self.reset.is_some() {
            return true;
        }
        if self.broken.is_some() {
            return false;
        }
        match self.carrier {
            Carrier::Absent { .. } => false,
            Carrier::Opening { resume, .. } => !resume && self.send.unsent() > 0,
            Carrier::Open => {
                let acknowledge = self.ack_now && self.receive.consumed() > self.ack_sent;
                self.want_ping || self.want_pong || acknowledge || self.send.unsent() > 0 || self.fin_wanted()
            }
        }
    }

    fn fin_wanted(&self) -> bool {
        self.finished && !self.fin_sent
    }

    /// What to write next, in as few slices as it is; returns how many of `slices` were filled.
    ///
    /// Call [`Core::transmitted`] with what the carrier took.
    pub fn transmit<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.head_at == self.head.len() && self.data_left == 0 {
            self.compose();
        }
        let head = self.head.get(self.head_at..).unwrap_or_default();
        let (first, rest) = match slices.split_first_mut() {
            Some((first, rest)) if !head.is_empty() => (Some(first), rest),
            Some(_) => (None, slices),
            None => return 0,
        };
        let used = match first {
            Some(first) => {
                *first = IoSlice::new(head);
                1
            }
            None => 0,
        };
        used + self.send.slices(self.data_left, rest)
    }

    /// The carrier took this many bytes of what [`Core::transmit`] gave last.
    pub fn transmitted(&mut self, count: usize) {
        let of_head = count.min(self.head.len() - self.head_at);
        self.head_at += of_head;
        let of_data = (count - of_head).min(self.data_left);
        self.data_left -= of_data;
        self.send.advance(of_data);
        self.release_consumed();
    }

    fn compose(&mut self) {
        self.head.clear();
        self.head_at = 0;
        if let Some(greeting) = self.greeting.take() {
            greeting.encode(&mut self.head);
        }
        if let Some(notice) = self.reset.take() {
            Control::Reset(notice).encode(&mut self.head);
        }
        if self.broken.is_some() {
            return;
        }
        let early = match self.carrier {
            Carrier::Absent { .. } | Carrier::Opening { resume: true, .. } => return,
            Carrier::Opening { resume: false, .. } => true,
            Carrier::Open => false,
        };
        if !early {
            self.compose_control();
        }
        let unsent = self.send.unsent();
        if unsent > 0 {
            let length = usize::try_from(unsent).unwrap_or(MAX_DATA).min(MAX_DATA);
            self.head.extend_from_slice(&Header { kind: Kind::Data, length }.encode());
            self.data_left = length;
        } else if self.fin_wanted() && !early {
            Control::Fin { length: self.send.end() }.encode(&mut self.head);
            self.fin_sent = true;
        }
    }

    fn compose_control(&mut self) {
        if std::mem::take(&mut self.want_pong) {
            Control::Pong.encode(&mut self.head);
        }
        if std::mem::take(&mut self.want_ping) {
            Control::Ping.encode(&mut self.head);
        }
        let consumed = self.receive.consumed();
        // An acknowledgement that is not yet due rides along with data for 12 bytes.
        if consumed > self.ack_sent && (self.ack_now || self.send.unsent() > 0 || self.fin_wanted()) {
            Control::Ack { consumed }.encode(&mut self.head);
            self.ack_sent = consumed;
        }
        if consumed == self.ack_sent {
            self.ack_now = false;
            self.ack_due = None;
        }
    }
}
