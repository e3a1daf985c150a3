//! What the fuzzers call: bytes of anybody. Where they are cut must change nothing.

use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use hoop_engine::Event;
use hoop_hosted::content::Clock;
use hoop_policy::ClusterRequest;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::{
    fields::Written,
    files,
    request::{self, Kind},
    spdy::{BadFrame, Decoder, Encoder, Frame, Headers, StreamId},
};

/// What the first byte says of a body's encoding.
const ENCODINGS: [&str; 5] = [
    "application/json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
    "application/cbor",
    "application/vnd.kubernetes.protobuf",
];

/// What somebody writes to a cluster; the first byte says in which encoding. What is told of it is bounded, and holds no value where
/// it must not.
pub fn body(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let Some(encoding) = ENCODINGS.get(usize::from(*first) % ENCODINGS.len()) else { return };
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(encoding))]);
    let body = Bytes::copy_from_slice(body);
    for sensitive in [false, true] {
        let Ok(written) = Written::read(&headers, &ClusterRequest::default(), &body, sensitive) else {
            continue;
        };
        assert!(written.fields.len() <= 201, "more is told than may be");
        assert!(written.fields.iter().all(|field| field.chars().count() <= 301), "a field is too long");
        let shows = |field: &String| !field.contains("= (not recorded)");
        let is_told = |field: &String| {
            ["metadata.", "kind = ", "apiVersion = ", "type = ", "and ", " = null"]
                .iter()
                .any(|known| field.contains(known))
                || encoding.contains("patch+json")
        };
        assert!(
            !sensitive || written.fields.iter().filter(|field| shows(field)).all(is_told),
            "a value is told"
        );
    }
}

/// A path with its query. What is let through has one reading: its parts stand in it as they were read.
pub fn path(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else { return };
    for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE] {
        let Ok(read) = request::read(&method, &uri, &HeaderMap::new()) else { continue };
        let path = uri.path();
        assert!(!path.contains("//") && !path.contains("..") | !path.split('/').any(|part| part == ".."));
        assert!(!path.contains('%'), "it is encoded");
        let parts: Vec<&str> = path.split('/').collect();
        let request = &read.request;
        for part in [&request.resource, &request.subresource, &request.namespace] {
            assert!(part.is_empty() || parts.contains(&part.as_str()), "a part is not in the path");
        }
        let starts = matches!(request.subresource.as_str(), "exec" | "attach" | "portforward");
        assert!(
            !starts || (read.kind != Kind::Call && request.verb == "create"),
            "it is let through as something else"
        );
        assert!(request.resource != "nodes" || request.subresource != "proxy");
    }
}

/// An archive, as it passes from a container. Where it is cut must change nothing.
pub fn archive(data: &[u8]) {
    let whole = files(data, usize::MAX);
    assert!(whole == files(data, 7), "a cut changes what is told");
}

fn files(data: &[u8], cut: usize) -> (Vec<Event>, bool) {
    let mut transfer = files::download();
    let (clock, mut events) = (Clock(Cell::new(0)), Vec::new());
    for piece in data.chunks(cut) {
        match transfer.down(&Bytes::copy_from_slice(piece), &clock) {
            Ok(more) => events.extend(more),
            // What came before it depends on the cut; that it is no archive does not.
            Err(_) => return (Vec::new(), false),
        }
    }
    events.extend(transfer.finish(&clock));
    (events, true)
}

/// Seeds of [`body`].
#[must_use]
pub fn body_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let with = |encoding: u8, body: &[u8]| [&[encoding], body].concat();
    let object = br#"{"kind":"Secret","metadata":{"name":"db","labels":{"app":"web"}},"data":{"password":"czNjcmV0"}}"#;
    let patch = br#"[{"op":"replace","path":"/data/password","value":"czNjcmV0"}]"#;
    let yaml = b"kind: Deployment\nmetadata:\n  name: web\nspec: {replicas: 3}\n";
    let cbor = b"\xd9\xd9\xf7\xa1\x48metadata\xa1\x44name\x42db";
    let protobuf = b"k8s\0\x0a\x0d\x0a\x02v1\x12\x07Secrets\x12\x06\x0a\x04\x0a\x02db";
    vec![
        ("json", with(0, object)),
        ("patch", with(1, patch)),
        ("yaml", with(2, yaml)),
        ("cbor", with(3, cbor)),
        ("protobuf", with(4, protobuf)),
    ]
}

/// Seeds of [`path`].
#[must_use]
pub fn path_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("list", b"/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb&watch=1".to_vec()),
        (
            "exec",
            b"/api/v1/namespaces/shop/pods/web/exec?command=ls&command=-l&stdout=true&container=main"
                .to_vec(),
        ),
        ("group", b"/apis/apps/v1/namespaces/shop/deployments/web/scale".to_vec()),
        ("proxy", b"/api/v1/namespaces/shop/services/web:80/proxy/a/b".to_vec()),
    ]
}

/// Seeds of [`archive`].
#[must_use]
pub fn archive_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut block = [0; 512];
    let fields: [(usize, &[u8]); 7] = [
        (0, b"d/a"),
        (100, b"0000644\0"),
        (124, b"00000000005\0"),
        (136, b"00000000000\0"),
        (156, b"0"),
        (257, b"ustar\x0000"),
        (148, b"        "),
    ];
    for (at, field) in fields {
        block.iter_mut().skip(at).zip(field).for_each(|(byte, value)| *byte = *value);
    }
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let told = format!("{sum:06o}\0 ");
    block.iter_mut().skip(148).zip(told.as_bytes()).for_each(|(byte, value)| *byte = *value);
    let mut content = [0; 512];
    content.iter_mut().zip(b"hello").for_each(|(byte, value)| *byte = *value);
    vec![("file", [&block[..], &content, &[0; 1024]].concat())]
}

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
