//! Lanes over a pipe in memory: every byte of every lane comes once and in order; no lane and no peer passes the bounds.

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinSet,
};

use super::*;

struct Pair {
    lanes: Lanes,
    incoming: Incoming,
    pumps: JoinSet<()>,
}

/// Two sides with their pumps running; what the connector says first is taken off, as the agent does.
async fn pair(pipe: usize, most: usize) -> Pair {
    let (near, mut far) = duplex(pipe);
    let mut pumps = JoinSet::new();
    let (lanes, pump) = open(near);
    pumps.spawn(pump);
    let mut first = [0; 4];
    far.read_exact(&mut first).await.unwrap();
    assert_eq!(Header::decode(first).unwrap(), Header { kind: Kind::Share, length: 0 });
    let (incoming, pump) = accept(far, most);
    pumps.spawn(pump);
    Pair { lanes, incoming, pumps }
}

fn byte(lane: usize, at: usize) -> u8 {
    u8::try_from((lane * 31 + at * 7) % 251).unwrap()
}

async fn send(lane: &mut Lane, number: usize, pieces: &[usize]) {
    let mut at = 0;
    for piece in pieces {
        let bytes: Vec<u8> = (at..at + piece).map(|at| byte(number, at)).collect();
        lane.write_all(&bytes).await.unwrap();
        at += piece;
        tokio::task::yield_now().await;
    }
}

async fn receive(lane: &mut Lane, number: usize, total: usize) {
    let mut seen = vec![0; total];
    lane.read_exact(&mut seen).await.unwrap();
    assert!(seen.iter().enumerate().all(|(at, seen)| *seen == byte(number, at)), "lane {number}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_lane_delivers_its_bytes_in_order_whatever_the_others_do(
        lanes in proptest::collection::vec(proptest::collection::vec(1_usize..150_000, 0..6), 1..8),
        pipe in 1_usize..100_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut pair = pair(pipe, 100).await;
            let mut near = JoinSet::new();
            for (number, pieces) in lanes.iter().cloned().enumerate() {
                let mut lane = pair.lanes.open().unwrap();
                near.spawn(async move {
                    lane.write_all(&[u8::try_from(number).unwrap()]).await.unwrap();
                    let total = pieces.iter().sum();
                    send(&mut lane, number, &pieces).await;
                    receive(&mut lane, number, total).await;
                    lane.shutdown().await.unwrap();
                });
            }
            let mut far = JoinSet::new();
            for _ in 0..lanes.len() {
                let mut lane = pair.incoming.next().await.unwrap();
                let number = usize::from(lane.read_u8().await.unwrap());
                let pieces = lanes[number].clone();
                far.spawn(async move {
                    receive(&mut lane, number, pieces.iter().sum()).await;
                    send(&mut lane, number, &pieces).await;
                    assert_eq!(lane.read(&mut [0]).await.unwrap(), 0, "the end comes too");
                });
            }
            near.join_all().await;
            far.join_all().await;
            drop((pair.lanes, pair.incoming));
            pair.pumps.join_all().await;
        });
    }
}

#[tokio::test]
async fn what_is_written_at_about_the_same_time_leaves_as_one() {
    let (near, mut far) = duplex(1 << 20);
    let (lanes, pump) = open(near);
    let pump = tokio::spawn(pump);
    let mut first = [0; 4];
    far.read_exact(&mut first).await.unwrap();
    let mut writers = JoinSet::new();
    for _ in 0..10 {
        let mut lane = lanes.open().unwrap();
        writers.spawn(async move {
            lane.write_all(b"0123456789").await.unwrap();
            lane
        });
    }
    let mut seen = [0; 1000];
    assert_eq!(far.read(&mut seen).await.unwrap(), 10 * (2 * HEADER + 10));
    drop(far);
    pump.await.unwrap();
    for lane in writers.join_all().await {
        let mut lane = lane;
        assert_eq!(lane.read(&mut [0]).await.unwrap(), 0);
        assert!(lane.write(b"x").await.is_err());
    }
    assert!(lanes.open().is_none());
}

#[tokio::test]
async fn a_lane_that_nobody_reads_stops_the_sender_and_the_memory_is_bounded() {
    let mut pair = pair(64 * 1024, 10).await;
    let (mut full, mut other) = (pair.lanes.open().unwrap(), pair.lanes.open().unwrap());
    let flood = async {
        let mut sent = 0;
        // Nobody wakes it any more once everything is full.
        while let Ok(count) = tokio::time::timeout(Duration::from_millis(200), full.write(&[7; 50_000])).await
        {
            sent += count.unwrap();
        }
        sent
    };
    let reading = async {
        let lane = pair.incoming.next().await.unwrap();
        (lane, std::future::pending::<()>()).0
    };
    let (sent, mut unread) = tokio::join!(flood, reading);
    assert!((FULL..FULL + 2 * (ROOM + FRAME) + 300_000).contains(&sent), "{sent}");
    assert!(lock(&unread.state).lanes[&0].held.len() <= FULL + (1 << 18));
    // When it is read, all goes on: the other lane as well.
    let reading = async {
        let mut left = sent;
        let mut buffer = vec![0; 100_000];
        while left > 0 {
            left -= unread.read(&mut buffer).await.unwrap();
        }
        let mut second = pair.incoming.next().await.unwrap();
        let mut text = [0; 5];
        second.read_exact(&mut text).await.unwrap();
        text
    };
    let (text, ()) = tokio::join!(reading, async { other.write_all(b"hello").await.unwrap() });
    assert_eq!(&text, b"hello");
}

/// The agent's side, and the raw other end.
fn raw(most: usize) -> (Incoming, tokio::task::JoinHandle<()>, DuplexStream) {
    let (near, far) = duplex(1 << 20);
    let (incoming, pump) = accept(near, most);
    (incoming, tokio::spawn(pump), far)
}

fn frame(lane: u32, body: &[u8]) -> Vec<u8> {
    [&header(lane, body.len())[..], body].concat()
}

fn opening(lane: u32) -> Vec<u8> {
    frame(lane, b"")
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_is_cut_off() {
    for (name, bytes) in [
        ("too long", [1, 2, 3, 4, 0xff, 0, 0, 0].to_vec()),
        ("one byte too long", [[0, 0, 0, 0], (u32::try_from(FRAME).unwrap() + 1).to_be_bytes()].concat()),
        ("too many lanes", [opening(0), opening(1), opening(2)].concat()),
        ("a lane that nobody opened", [opening(0), frame(1, b"x")].concat()),
        ("a number that is not the next", opening(1)),
    ] {
        let (mut incoming, pump, mut far) = raw(2);
        far.write_all(&bytes).await.unwrap();
        pump.await.unwrap();
        while incoming.next().await.is_some() {}
        assert_eq!(far.read(&mut [0; 64]).await.unwrap_or(0), 0, "{name}");
    }
    // At the connector nobody opens lanes but itself.
    let (near, mut far) = duplex(1 << 16);
    let (lanes, pump) = open(near);
    far.write_all(&opening(0)).await.unwrap();
    pump.await;
    assert!(lanes.open().is_none());
}

#[tokio::test]
async fn what_comes_late_for_a_lane_that_is_over_is_let_go() {
    let (mut incoming, _pump, mut far) = raw(2);
    for round in 0..50_u32 {
        far.write_all(&[opening(round), frame(round, b"hello")].concat()).await.unwrap();
        let mut lane = incoming.next().await.unwrap();
        lane.read_exact(&mut [0; 5]).await.unwrap();
        drop(lane);
        let mut end = [0; HEADER];
        far.read_exact(&mut end).await.unwrap();
        assert_eq!(end, header(round, 0));
        far.write_all(&[frame(round, b"late"), frame(round, b"")].concat()).await.unwrap();
    }
    assert_eq!(lock(&incoming.0.0).lanes.len(), 0);
}

#[tokio::test]
async fn ends_that_nobody_reads_are_bounded() {
    let (mut incoming, _pump, mut far) = raw(1 << 20);
    let flood = async {
        let mut number = 0_u32;
        while let Ok(written) =
            tokio::time::timeout(Duration::from_millis(200), far.write_all(&opening(number))).await
        {
            written.unwrap();
            number += 1;
            assert!(number < 1_000_000, "it is stopped some time");
        }
    };
    let closing = async {
        while let Some(lane) = incoming.next().await {
            assert!(lock(&lane.state).out.len() <= 2 * ROOM + HEADER);
            drop(lane);
        }
    };
    tokio::select! { () = flood => {}, () = closing => panic!("cut off") }
}

#[tokio::test]
async fn a_lane_that_failed_leaves_no_connection_for_further_ones() {
    for (is_heard, is_well) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut pair = pair(1024, 10).await;
        let mut lane = pair.lanes.open().unwrap();
        lane.write_all(b"?").await.unwrap();
        let mut other = pair.incoming.next().await.unwrap();
        if is_heard {
            other.write_all(b"!").await.unwrap();
            lane.read_u8().await.unwrap();
        }
        if is_well {
            lane.shutdown().await.unwrap();
        }
        drop(lane);
        assert_eq!(pair.lanes.open().is_some(), is_heard && is_well, "{is_heard} {is_well}");
    }
}

#[tokio::test]
async fn who_opens_first_may_speak_last() {
    let mut pair = pair(1024, 10).await;
    let (mut first, mut second) = (pair.lanes.open().unwrap(), pair.lanes.open().unwrap());
    second.write_all(b"second").await.unwrap();
    let (mut one, mut two) = (pair.incoming.next().await.unwrap(), pair.incoming.next().await.unwrap());
    two.read_exact(&mut [0; 6]).await.unwrap();
    first.write_all(b"first").await.unwrap();
    let mut text = [0; 5];
    one.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"first");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_lanes_ends_after_a_while_and_at_once_if_nobody_wants_it() {
    let mut one = pair(1024, 10).await;
    let began = tokio::time::Instant::now();
    one.pumps.join_next().await.unwrap().unwrap();
    assert_eq!(began.elapsed().as_secs(), UNUSED.0.as_secs());
    assert!(one.lanes.open().is_none());

    let mut two = pair(1024, 10).await;
    let mut lane = two.lanes.open().unwrap();
    drop(two.lanes);
    lane.write_all(b"the last word").await.unwrap();
    lane.shutdown().await.unwrap();
    drop(lane);
    let mut seen = Vec::new();
    two.incoming.next().await.unwrap().read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, b"the last word");
    let began = tokio::time::Instant::now();
    two.pumps.join_all().await;
    assert!(began.elapsed() < LAST_WORDS);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_holds_nobody_up() {
    let (near, _far) = duplex(16);
    let (lanes, pump) = open(near);
    let pump = tokio::spawn(pump);
    let mut lane = lanes.open().unwrap();
    lane.write_all(&[1; 1000]).await.unwrap();
    // The pump waits for the pipe, and for nothing else, when the last lane goes.
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop((lane, lanes));
    let began = tokio::time::Instant::now();
    pump.await.unwrap();
    assert_eq!(began.elapsed(), LAST_WORDS);
}
