//! What the fuzzers call: bytes of anybody. Where they are cut must change nothing.

use bytes::{Bytes, BytesMut};

use crate::spdy::{BadFrame, Decoder, Encoder, Frame, Headers, StreamId};

/// One direction of a SPDY connection. What is read of it can be written, and is then read as the same.
pub fn spdy(data: &[u8]) {
    let whole = read(data, usize::MAX);
    assert!(whole == read(data, 3), "a cut changes what is read");
    let (frames, _) = whole;
    let (mut encoder, mut bytes) = (Encoder::new(), BytesMut::new());
    for frame in &frames {
        // Headers may be longer now: whoever sent them may compress better.
        if encoder.put(frame, &mut bytes).is_err() {
            return;
        }
    }
    assert!(read(&bytes, usize::MAX) == (frames, None), "what is written is not what was read");
}

/// Frames up to what is wrong. Data that follows on the same stream is put together: how it was cut means nothing.
fn read(data: &[u8], cut: usize) -> (Vec<Frame>, Option<BadFrame>) {
    let (mut decoder, mut buffer, mut frames) = (Decoder::new(), BytesMut::new(), Vec::new());
    for piece in data.chunks(cut) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(None) => break,
                Ok(Some(frame)) => add(&mut frames, frame),
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn add(frames: &mut Vec<Frame>, frame: Frame) {
    if let Frame::Data { stream, data, fin } = &frame
        && let Some(Frame::Data { stream: last, data: before, fin: is_over @ false }) = frames.last_mut()
        && stream == last
    {
        *before = Bytes::from([&before[..], data].concat());
        *is_over = *fin;
    } else {
        frames.push(frame);
    }
}

/// What clients and clusters say, to begin with.
pub fn spdy_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let data = |stream, data: &'static str, fin| Frame::Data { stream, data: data.into(), fin };
    let reply = |stream| Frame::SynReply { stream, fin: false, headers: Headers::new() };
    let reset = |stream| Frame::RstStream { stream, status: 5 };
    let open = |stream, headers| Frame::SynStream { stream, fin: false, unidirectional: false, headers };
    let kind = |kind: &'static str| Headers::new().with("streamtype", kind);
    let forward = |of: &'static str| kind(of).with("port", "8080").with("requestid", "0");
    let [Some(a), Some(b), Some(c)] = [1, 3, 5].map(StreamId::new) else { return Vec::new() };
    let command =
        [open(a, kind("error")), open(b, kind("stdin")), open(c, kind("stdout")), data(b, "ls\n", true)];
    let answers = [reply(a), reply(b), reply(c), data(c, "a file\n", false), data(a, "{}", false), reset(b)];
    let answers = answers.into_iter().chain([Frame::Ping(2), Frame::GoAway { last: 5, status: 0 }]);
    let forwards =
        [open(a, forward("error")), data(a, "", true), open(b, forward("data")), data(b, "GET /", false)];
    let settings = [
        Frame::Settings { clear: true, values: vec![(4, 100), (7, 65536)] },
        Frame::WindowUpdate { stream: 1, delta: 65536 },
        Frame::Headers { stream: a, fin: true, headers: kind("x") },
    ];
    vec![
        ("command", written(command)),
        ("answers", written(answers)),
        ("forwards", written(forwards)),
        ("settings", written(settings)),
    ]
}

fn written(frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    let (mut encoder, mut bytes) = (Encoder::new(), BytesMut::new());
    for frame in frames {
        // None is too long.
        let _ = encoder.put(&frame, &mut bytes);
    }
    bytes.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_pass_wherever_they_are_cut() {
        for (name, seed) in spdy_seeds() {
            assert!(seed.len() > 20, "{name}");
            (0..=seed.len()).for_each(|end| spdy(&seed[..end]));
        }
    }
}
