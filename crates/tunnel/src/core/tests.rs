//! Two cores and a network that delivers any piece of what was written, then breaks.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "small numbers of the tests themselves"
)]

use std::time::Duration;

use super::{
    frame::{FrameError, Header},
    *,
};
use proptest::prelude::*;

const SMALL: Limits = Limits {
    window: 64 * 1024,
    ack_every: 8 * 1024,
    ack_delay: Duration::from_millis(200),
    ping_after: Duration::from_secs(15),
    dead_after: Duration::from_secs(30),
    accept_within: Duration::from_secs(10),
    resume_for: Duration::from_secs(300),
};

/// Byte `offset` of a direction's stream: any shift, loss or repetition shows.
fn pattern(seed: u64, offset: u64) -> u8 {
    let mixed = (offset ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

struct End {
    core: Core,
    /// On the way to this end's peer.
    wire: Vec<u8>,
    seed: u64,
    to_write: u64,
    written: u64,
    read: u64,
    end_seen: bool,
}

impl End {
    fn new(core: Core, seed: u64, to_write: u64) -> Self {
        Self { core, wire: Vec::new(), seed, to_write, written: 0, read: 0, end_seen: false }
    }

    fn write(&mut self, count: u64, shared: bool) {
        let count = count.min(self.to_write - self.written);
        let bytes: Vec<u8> = (0..count).map(|i| pattern(self.seed, self.written + i)).collect();
        let taken =
            if shared { self.core.write_shared(&mut Bytes::from(bytes)) } else { self.core.write(&bytes) };
        self.written += taken as u64;
        if self.written == self.to_write {
            self.core.finish();
        }
    }

    fn transmit(&mut self, limit: usize) -> usize {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = self.core.transmit(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        let count = bytes.len().min(limit);
        self.wire.extend_from_slice(&bytes[..count]);
        self.core.transmitted(count);
        count
    }

    fn take(&mut self, peer_seed: u64, bytes: &[u8], room: usize, now: Instant) {
        let mut seen = Vec::new();
        let mut left = room;
        self.core
            .handle_input(bytes, now, |data| {
                let taken = data.len().min(left);
                left -= taken;
                seen.extend_from_slice(&data[..taken]);
                taken
            })
            .unwrap();
        self.check(peer_seed, &seen);
    }

    fn read(&mut self, peer_seed: u64, room: usize, now: Instant) {
        let mut seen = Vec::new();
        self.core.read(now, |data| {
            let taken = data.len().min(room);
            seen.extend_from_slice(&data[..taken]);
            taken
        });
        self.check(peer_seed, &seen);
        self.end_seen |= self.core.read_end(now);
    }

    fn check(&mut self, peer_seed: u64, seen: &[u8]) {
        for byte in seen {
            assert_eq!(*byte, pattern(peer_seed, self.read), "at {}", self.read);
            self.read += 1;
        }
        assert!(seen.is_empty() || !self.end_seen, "data behind the end");
    }

    fn check_bounds(&self) {
        let window = SMALL.window as usize;
        // Both queues, and the slack of the chunk that small writes are copied into.
        assert!(self.core.held() <= 2 * window + 2 * 16 * 1024 + 1024, "held {}", self.core.held());
    }
}

struct World {
    connector: End,
    agent: End,
    exists: bool,
    now: Instant,
}

impl World {
    fn new(up: u64, down: u64) -> Self {
        let now = Instant::now();
        Self {
            connector: End::new(Core::connector(StreamId(0), SMALL, now), 1, up),
            agent: End::new(Core::agent(SMALL, now), 2, down),
            exists: false,
            now,
        }
    }

    fn dial(&mut self) {
        if !self.connector.core.is_attached() {
            self.connector.wire.clear();
            self.agent.wire.clear();
            self.connector.core.attach(self.now);
            self.agent.core.detach(self.now);
        }
    }

    fn cut(&mut self) {
        self.connector.core.detach(self.now);
        self.agent.core.detach(self.now);
        self.connector.wire.clear();
        self.agent.wire.clear();
    }

    fn deliver(&mut self, from_connector: bool, count: usize, room: usize) {
        if from_connector {
            if !self.agent.core.is_attached() && !self.greet() {
                return;
            }
            let count = count.min(self.connector.wire.len());
            let bytes: Vec<u8> = self.connector.wire.drain(..count).collect();
            self.agent.take(1, &bytes, room, self.now);
        } else if self.connector.core.is_attached() {
            let count = count.min(self.agent.wire.len());
            let bytes: Vec<u8> = self.agent.wire.drain(..count).collect();
            self.connector.take(2, &bytes, room, self.now);
        }
    }

    /// What the agent's shell does with a carrier's first frame.
    fn greet(&mut self) -> bool {
        let wire = &self.connector.wire;
        let Some(header) = wire.first_chunk::<HEADER>() else { return false };
        let header = Header::decode(*header).unwrap();
        let Some(body) = wire.get(HEADER..HEADER + header.length) else { return false };
        let Control::Opening(opening) = Control::decode(header.kind, body).unwrap() else { panic!() };
        assert!(!opening.resume || self.exists, "resumed what was never accepted");
        self.exists = true;
        self.connector.wire.drain(..HEADER + header.length);
        self.agent.core.accept(&opening, self.now).unwrap();
        true
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { connector, count, shared } => {
                if connector {
                    self.connector.write(count, shared);
                } else if self.exists {
                    self.agent.write(count, shared);
                }
            }
            Step::Transmit { connector, limit } => {
                if connector {
                    self.connector.transmit(limit);
                } else {
                    self.agent.transmit(limit);
                }
            }
            Step::Deliver { connector, count, room } => self.deliver(connector, count, room),
            Step::Read { connector, room } => {
                if connector {
                    self.connector.read(2, room, self.now);
                } else {
                    self.agent.read(1, room, self.now);
                }
            }
            Step::Cut => self.cut(),
            Step::Dial => self.dial(),
            Step::Wait { millis } => {
                self.now += Duration::from_millis(millis);
                for end in [&mut self.connector, &mut self.agent] {
                    if end.core.handle_timeout(self.now) == Timeout::CarrierDead {
                        end.core.detach(self.now);
                    }
                }
            }
        }
        self.connector.check_bounds();
        self.agent.check_bounds();
    }

    fn done(&self) -> bool {
        self.connector.end_seen
            && self.agent.end_seen
            && self.connector.core.is_finish_acknowledged()
            && self.agent.core.is_finish_acknowledged()
    }

    /// A network that works, until both sides are done.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.done() {
                return;
            }
            self.dial();
            self.connector.write(9_000, false);
            if self.exists {
                self.agent.write(9_000, true);
            }
            while self.connector.transmit(usize::MAX) > 0 {}
            self.deliver(true, usize::MAX, 3_000);
            while self.agent.transmit(usize::MAX) > 0 {}
            self.deliver(false, usize::MAX, 3_000);
            self.connector.read(2, usize::MAX, self.now);
            self.agent.read(1, usize::MAX, self.now);
            self.step(&Step::Wait { millis: 100 });
        }
        panic!("not done: {:?}", (self.connector.read, self.agent.read));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write { connector: bool, count: u64, shared: bool },
    Transmit { connector: bool, limit: usize },
    Deliver { connector: bool, count: usize, room: usize },
    Read { connector: bool, room: usize },
    Cut,
    Dial,
    Wait { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0usize..40, 0usize..2_000, 0usize..100_000, Just(usize::MAX)];
    prop_oneof![
        4 => (any::<bool>(), 0u64..70_000, any::<bool>())
            .prop_map(|(connector, count, shared)| Step::Write { connector, count, shared }),
        6 => (any::<bool>(), size.clone()).prop_map(|(connector, limit)| Step::Transmit { connector, limit }),
        6 => (any::<bool>(), size.clone(), size.clone())
            .prop_map(|(connector, count, room)| Step::Deliver { connector, count, room }),
        3 => (any::<bool>(), size).prop_map(|(connector, room)| Step::Read { connector, room }),
        1 => Just(Step::Cut),
        3 => Just(Step::Dial),
        1 => (0u64..400).prop_map(|millis| Step::Wait { millis }),
    ]
}

proptest! {
    #[test]
    fn any_interleaving_of_cuts_delivers_the_same_bytes_once(
        up in 0u64..300_000,
        down in 0u64..300_000,
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut world = World::new(up, down);
        for step in &steps {
            world.step(step);
        }
        world.settle();
        prop_assert_eq!((world.agent.read, world.connector.read), (up, down));
    }

    #[test]
    fn hostile_frames_break_no_bound(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        fuzz(&bytes);
    }

    #[test]
    fn hostile_but_well_formed_frames_break_no_bound(
        frames in proptest::collection::vec((1u8..=10, proptest::collection::vec(any::<u8>(), 0..60)), 0..40),
    ) {
        let mut bytes = Vec::new();
        for (kind, body) in frames {
            bytes.extend_from_slice(&[kind, 0, 0, body.len() as u8]);
            bytes.extend_from_slice(&body);
        }
        fuzz(&bytes);
    }
}

/// Both sides connected, with nothing written.
fn connected() -> World {
    let mut world = World::new(u64::MAX, u64::MAX);
    world.dial();
    world.connector.transmit(usize::MAX);
    world.deliver(true, usize::MAX, 0);
    world.agent.transmit(usize::MAX);
    world.deliver(false, usize::MAX, 0);
    assert!(world.connector.core.is_open() && world.agent.core.is_open());
    world
}

fn frame(control: &Control) -> Vec<u8> {
    let mut bytes = Vec::new();
    control.encode(&mut bytes);
    bytes
}

fn refuses(world: &mut World, bytes: &[u8]) -> Violation {
    world.agent.core.handle_input(bytes, world.now, |data| data.len()).unwrap_err()
}

#[test]
fn the_first_write_holds_opening_and_data() {
    let mut world = World::new(5, 0);
    world.dial();
    world.connector.write(5, false);
    world.connector.transmit(usize::MAX);
    assert_eq!(world.connector.wire.len(), HEADER + 25 + HEADER + 5);
}

#[test]
fn a_request_and_its_answer_are_one_write_each_and_acknowledge_each_other() {
    let mut world = connected();
    for _ in 0..3 {
        world.connector.write(100, false);
        world.connector.transmit(usize::MAX);
        assert!(!world.connector.core.has_output());
        world.deliver(true, usize::MAX, usize::MAX);
        world.agent.write(200, false);
        world.agent.transmit(usize::MAX);
        assert!(!world.agent.core.has_output());
        assert_eq!(world.agent.wire.len(), HEADER + 8 + HEADER + 200);
        world.deliver(false, usize::MAX, usize::MAX);
    }
    assert_eq!(world.connector.core.send.held(), KEPT_TAIL);
}

/// A tail that held 100 bytes is kept for the next ones.
const KEPT_TAIL: usize = 100;

#[test]
fn a_full_window_stops_the_writer_until_it_is_read_and_acknowledged() {
    let mut world = connected();
    world.connector.write(1 << 20, false);
    assert_eq!(world.connector.written, u64::from(SMALL.window));
    assert_eq!(world.connector.core.capacity(), 0);
    while world.connector.transmit(usize::MAX) > 0 {}
    world.deliver(true, usize::MAX, 0);
    while world.agent.transmit(usize::MAX) > 0 {}
    world.deliver(false, usize::MAX, 0);
    assert_eq!(world.connector.core.capacity(), 0, "held by the agent, but not read");
    world.agent.read(1, 20_000, world.now);
    world.agent.transmit(usize::MAX);
    world.deliver(false, usize::MAX, 0);
    assert_eq!(world.connector.core.capacity(), 20_000);
}

#[test]
fn a_writer_stops_before_the_window_is_full_and_may_have_more_where_nothing_waits() {
    let now = Instant::now();
    let mut core = Core::agent(Limits::default(), now);
    let position = Position { window: 1 << 20, received: 0, consumed: 0 };
    core.accept(&Opening { stream: StreamId(0), resume: false, position }, now).unwrap();
    assert!(!core.is_to_be_timed());
    assert_eq!(core.write(&vec![0; 1 << 20]), 256 << 10);
    assert!(core.is_to_be_timed());
    core.time(now);
    let mut end = End::new(core, 1, 0);
    while end.transmit(usize::MAX) > 0 {}
    let acknowledged = frame(&Control::Ack { consumed: 256 << 10 });
    end.core.handle_input(&acknowledged, now + Duration::from_millis(20), |_| 0).unwrap();
    assert_eq!(end.core.capacity(), 384 << 10);
}

#[test]
fn an_idle_stream_is_acknowledged_after_a_while_and_then_holds_nothing() {
    let mut world = connected();
    world.connector.write(3_000, false);
    world.connector.transmit(usize::MAX);
    world.deliver(true, usize::MAX, usize::MAX);
    assert!(!world.agent.core.has_output(), "not at once");
    assert_eq!(world.agent.core.next_timeout(), Some(world.now + SMALL.ack_delay));
    world.step(&Step::Wait { millis: 200 });
    world.agent.transmit(usize::MAX);
    world.deliver(false, usize::MAX, 0);
    for seconds in [15, 14] {
        world.step(&Step::Wait { millis: seconds * 1000 });
        world.agent.transmit(usize::MAX);
        world.connector.transmit(usize::MAX);
        world.deliver(true, usize::MAX, 0);
        world.deliver(false, usize::MAX, 0);
    }
    for end in [&world.agent, &world.connector] {
        let idle = std::mem::size_of::<Core>() + end.core.held();
        assert!(idle < 1024, "{idle} bytes");
    }
}

#[test]
fn a_silent_peer_is_pinged_then_given_up() {
    let mut world = connected();
    world.step(&Step::Wait { millis: 15_000 });
    assert!(world.agent.core.has_output());
    world.agent.transmit(usize::MAX);
    assert_eq!(world.agent.wire, [9, 0, 0, 0]);
    world.step(&Step::Wait { millis: 15_000 });
    assert!(!world.agent.core.is_attached());
    world.step(&Step::Wait { millis: 300_000 });
    assert_eq!(world.agent.core.broken(), Some(&Broken::Expired));
}

#[test]
fn a_carrier_that_is_never_accepted_is_given_up() {
    let mut world = World::new(1, 1);
    world.dial();
    world.connector.transmit(usize::MAX);
    world.step(&Step::Wait { millis: 10_000 });
    assert!(!world.connector.core.is_attached());
}

#[test]
fn what_no_peer_does_is_a_violation() {
    let notice = Notice::new(1, "");
    let position = Position { window: 1, received: 0, consumed: 0 };
    let opening = Opening { stream: StreamId(0), resume: false, position };
    for (bytes, expected) in [
        (frame(&Control::Accepted(position)), Violation::Unexpected),
        (frame(&Control::Refused(notice)), Violation::Unexpected),
        (frame(&Control::Opening(opening)), Violation::Unexpected),
        (frame(&Control::Ack { consumed: 1 }), Violation::Acknowledged),
        (frame(&Control::Fin { length: 1 }), Violation::End),
        (vec![77, 0, 0, 0], Violation::Frame(FrameError::UnknownKind(77))),
        ([&frame(&Control::Fin { length: 0 })[..], &[5, 0, 0, 1, 9]].concat(), Violation::AfterEnd),
    ] {
        assert_eq!(refuses(&mut connected(), &bytes), expected, "{bytes:?}");
    }
}

#[test]
fn more_than_the_window_is_a_violation() {
    let mut world = connected();
    let data = [&[5, 0, 0xff, 0][..], &vec![0; 0xff00]].concat();
    let now = world.now;
    world.agent.core.handle_input(&data, now, |_| 0).unwrap();
    assert_eq!(world.agent.core.handle_input(&data, now, |_| 0), Err(Violation::Window));
}

#[test]
fn a_resume_that_asks_for_released_bytes_is_refused_and_the_stream_lives() {
    let mut world = connected();
    world.agent.write(100, false);
    world.agent.transmit(usize::MAX);
    world.deliver(false, usize::MAX, usize::MAX);
    world.connector.write(1, false);
    world.connector.transmit(usize::MAX);
    world.deliver(true, usize::MAX, usize::MAX);
    for received in [0, 99, 101] {
        let position = Position { window: 1, received, consumed: received };
        let opening = Opening { stream: StreamId(0), resume: true, position };
        assert_eq!(world.agent.core.accept(&opening, world.now), Err(RefusalCode::PositionLost));
    }
    assert!(world.agent.core.is_open());
}

#[test]
fn a_reset_reaches_the_other_side_with_its_reason() {
    let mut world = connected();
    world.agent.core.reset(Notice::new(4010, "killed by an administrator"));
    world.agent.transmit(usize::MAX);
    world.deliver(false, usize::MAX, 0);
    let Some(Broken::Reset(notice)) = world.connector.core.broken() else { panic!() };
    assert_eq!((notice.code, notice.message.as_str()), (4010, "killed by an administrator"));
}
