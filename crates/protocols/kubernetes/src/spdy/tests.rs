//! The codec: bytes, in any split, and what is wrong with them.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

fn bytes_of(frames: &[Frame]) -> BytesMut {
    let (mut encoder, mut out) = (Encoder::new(), BytesMut::new());
    frames.iter().for_each(|frame| encoder.put(frame, &mut out).unwrap());
    out
}

/// Pieces of data put together; each split is as good as another.
fn together(frames: Vec<Frame>) -> Vec<Frame> {
    let mut all: Vec<Frame> = Vec::new();
    for frame in frames {
        if let (
            Frame::Data { stream, data, fin },
            Some(Frame::Data { stream: last, data: before, fin: over @ false }),
        ) = (&frame, all.last_mut())
            && stream == last
        {
            *before = [&before[..], data].concat().into();
            *over = *fin;
        } else {
            all.push(frame);
        }
    }
    all
}

/// What is read of these bytes if they come in so long pieces.
fn read(bytes: &[u8], mut lengths: impl Iterator<Item = usize>) -> Result<Vec<Frame>, BadFrame> {
    let (mut decoder, mut buffer, mut frames) = (Decoder::new(), BytesMut::new(), Vec::new());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(lengths.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.next(&mut buffer)? {
            frames.push(frame);
        }
        rest = more;
    }
    Ok(together(frames))
}

fn whole(bytes: &[u8]) -> Result<Vec<Frame>, BadFrame> {
    read(bytes, std::iter::empty())
}

#[test]
fn frames_without_headers_are_these_bytes() {
    let cases: [(Frame, &[u8]); 6] = [
        (Frame::Ping(2), b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x02"),
        (
            Frame::RstStream { stream: id(3), status: Reset::Cancel as u32 },
            b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x03\0\0\0\x05",
        ),
        (Frame::GoAway { last: 9, status: 0 }, b"\x80\x03\0\x07\0\0\0\x08\0\0\0\x09\0\0\0\0"),
        (Frame::WindowUpdate { stream: 0, delta: 1 }, b"\x80\x03\0\x09\0\0\0\x08\0\0\0\0\0\0\0\x01"),
        (
            Frame::Settings { clear: true, values: vec![(4, 100)] },
            b"\x80\x03\0\x04\x01\0\0\x0c\0\0\0\x01\0\0\0\x04\0\0\0\x64",
        ),
        (
            Frame::Data { stream: id(5), data: Bytes::from_static(b"ls\n"), fin: true },
            b"\0\0\0\x05\x01\0\0\x03ls\n",
        ),
    ];
    for (frame, bytes) in cases {
        assert_eq!(bytes_of(std::slice::from_ref(&frame)), bytes);
        assert_eq!(whole(bytes).unwrap(), [frame]);
    }
}

/// Compressed by zlib itself: two blocks of one context.
const OF_ANOTHER: &str = "80030001000000280000000100000000000078f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff\
    800300010000002e0000000300000000000002a5470c295029930829b08bc079c3c2c0c2004873164122381394f0190d00000000ffff";

#[test]
fn what_another_implementation_compressed_is_read() {
    let bytes = from_hex(OF_ANOTHER);
    let syn =
        |number, headers| Frame::SynStream { stream: id(number), fin: false, unidirectional: false, headers };
    let expected = [
        syn(1, Headers::new().with("streamtype", "error")),
        syn(3, Headers::new().with("streamtype", "data").with("port", "8080").with("requestid", "0")),
    ];
    assert_eq!(read(&bytes, std::iter::repeat(1)).unwrap(), expected);
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn long_data_is_sent_as_several_frames_and_ends_with_the_last() {
    let data = Bytes::from(vec![7; LONGEST_DATA * 2 + 1]);
    let bytes = bytes_of(&[Frame::Data { stream: id(1), data: data.clone(), fin: true }]);
    assert_eq!(bytes.len(), data.len() + 3 * 8);
    assert_eq!(whole(&bytes).unwrap(), [Frame::Data { stream: id(1), data, fin: true }]);
}

#[test]
fn nothing_is_held_of_the_longest_data_frame() {
    let mut decoder = Decoder::new();
    let mut buffer = BytesMut::from(&b"\0\0\0\x01\x01\xff\xff\xff"[..]);
    assert_eq!(decoder.next(&mut buffer), Ok(None));
    let (mut total, piece) = (0, [1; 1000]);
    while total < 0xff_ffff {
        let length = piece.len().min(0xff_ffff - total);
        buffer.extend_from_slice(&piece[..length]);
        let Some(Frame::Data { data, fin, .. }) = decoder.next(&mut buffer).unwrap() else { panic!() };
        total += data.len();
        assert_eq!((data.len(), fin, buffer.len()), (length, total == 0xff_ffff, 0));
    }
}

#[test]
fn what_is_wrong_is_said() {
    let cases: [(&[u8], BadFrame); 14] = [
        (b"\x80\x02\0\x06\0\0\0\x04\0\0\0\x02", BadFrame::Version(2)),
        (b"\x80\x03\0\x05\0\0\0\0", BadFrame::Kind(5)),
        (b"\x80\x03\0\x0a\0\0\0\0", BadFrame::Kind(10)),
        (b"\x80\x03\0\x06\x01\0\0\x04\0\0\0\x02", BadFrame::Flags { kind: 6, flags: 1 }),
        (b"\0\0\0\x01\x02\0\0\0", BadFrame::Flags { kind: 0, flags: 2 }),
        (b"\x80\x03\0\x01\0\x01\0\x01", BadFrame::TooLong(0x1_0001)),
        (b"\x80\x03\0\x06\0\0\0\x05\0\0\0\x02\0", BadFrame::Length(6)),
        (b"\x80\x03\0\x06\0\0\0\x03\0\0\x02", BadFrame::Length(6)),
        (b"\x80\x03\0\x06\0\0\0\x04\0\0\0\0", BadFrame::StreamZero),
        (b"\0\0\0\0\0\0\0\0", BadFrame::StreamZero),
        (b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x01\0\0\0\0", BadFrame::NoReason),
        (b"\x80\x03\0\x04\0\0\0\x04\xff\xff\xff\xff", BadFrame::Length(4)),
        (b"\x80\x03\0\x02\0\0\0\x06\0\0\0\x01\x12\x34", BadFrame::Compression),
        // The dictionary of another.
        (b"\x80\x03\0\x02\0\0\0\x0a\0\0\0\x01\x78\xbb\x01\x02\x03\x04", BadFrame::Compression),
    ];
    for (bytes, error) in cases {
        assert_eq!(whole(bytes), Err(error), "{bytes:x?}");
        assert_eq!(read(bytes, std::iter::repeat(1)), Err(error), "{bytes:x?}");
    }
}

/// A reply with these headers, whatever they are.
fn with_block(plain: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::Compress::new(flate2::Compression::best(), true);
    zlib.set_dictionary(dictionary::dictionary()).unwrap();
    let mut block = Vec::with_capacity(plain.len() + 1024);
    zlib.compress_vec(plain, &mut block, flate2::FlushCompress::Sync).unwrap();
    let length = u32::try_from(block.len() + 4).unwrap();
    [&b"\x80\x03\0\x02"[..], &length.to_be_bytes(), &[0, 0, 0, 1], &block].concat()
}

fn header(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u32::try_from(text.len()).unwrap().to_be_bytes();
    [&length(name)[..], name, &length(value)[..], value].concat()
}

#[test]
fn headers_that_are_wrong_are_said() {
    let block = |count: u32, headers: &[Vec<u8>]| [&count.to_be_bytes()[..], &headers.concat()].concat();
    let a = header(b"a", b"1");
    let cases = [
        (block(0, &[]), None),
        (block(1, &[header(b"a", b"")]), None),
        (block(2, &[a.clone(), a.clone()]), Some(BadFrame::HeaderTwice)),
        (block(1, &[header(b"A", b"1")]), Some(BadFrame::HeaderName)),
        (block(1, &[header(b"", b"1")]), Some(BadFrame::HeaderName)),
        (block(2, std::slice::from_ref(&a)), Some(BadFrame::HeaderBlock)),
        (block(1, &[a.clone(), a.clone()]), Some(BadFrame::HeaderBlock)),
        (block(u32::MAX, std::slice::from_ref(&a)), Some(BadFrame::TooManyHeaders)),
        (block(1, &[b"\xff\xff\xff\xffa".to_vec()]), Some(BadFrame::HeaderBlock)),
        (Vec::new(), Some(BadFrame::HeaderBlock)),
    ];
    for (plain, error) in cases {
        assert_eq!(whole(&with_block(&plain)).err(), error, "{plain:x?}");
    }
}

#[test]
fn a_block_may_be_as_long_as_the_bound_and_no_longer() {
    for (length, error) in [
        (headers::LONGEST_BLOCK, None),
        (headers::LONGEST_BLOCK + 1, Some(BadFrame::BlockTooLong)),
        // A bomb: it fits into one control frame.
        (4 << 20, Some(BadFrame::BlockTooLong)),
    ] {
        let value = vec![b'x'; length - 13];
        let bytes = with_block(&[&1_u32.to_be_bytes()[..], &header(b"a", &value)].concat());
        assert!(bytes.len() < LONGEST_CONTROL);
        assert_eq!(whole(&bytes).err(), error, "{length}");
    }
}

#[test]
fn after_an_error_nothing_is_read() {
    let (mut decoder, mut buffer) = (Decoder::new(), BytesMut::from(&b"\0\0\0\0\0\0\0\0"[..]));
    assert_eq!(decoder.next(&mut buffer), Err(BadFrame::StreamZero));
    buffer = bytes_of(&[Frame::Ping(1)]);
    assert_eq!(decoder.next(&mut buffer), Err(BadFrame::StreamZero));
}

#[test]
fn headers_that_are_too_long_are_not_sent() {
    let headers = Headers::new().with("a", vec![b'x'; headers::LONGEST_BLOCK]);
    let frame = Frame::SynReply { stream: id(1), fin: false, headers };
    assert_eq!(Encoder::new().put(&frame, &mut BytesMut::new()), Err(BadFrame::BlockTooLong));
}

fn any_headers() -> impl Strategy<Value = Headers> {
    let names = prop::sample::subsequence(vec!["streamtype", "port", "requestid", "x"], 0..4);
    let values = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 4);
    (names, values).prop_map(|(names, values)| {
        names.into_iter().zip(values).fold(Headers::new(), |headers, (name, value)| headers.with(name, value))
    })
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let stream = || (1..0x8000_0000_u32).prop_map(id);
    let data = prop::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from);
    prop_oneof![
        (stream(), any::<bool>(), any::<bool>(), any_headers()).prop_map(
            |(stream, fin, unidirectional, headers)| Frame::SynStream {
                stream,
                fin,
                unidirectional,
                headers
            }
        ),
        (stream(), any::<bool>(), any_headers()).prop_map(|(stream, fin, headers)| Frame::SynReply {
            stream,
            fin,
            headers
        }),
        (stream(), any::<bool>(), any_headers()).prop_map(|(stream, fin, headers)| Frame::Headers {
            stream,
            fin,
            headers
        }),
        (stream(), 1..u32::MAX).prop_map(|(stream, status)| Frame::RstStream { stream, status }),
        (any::<bool>(), prop::collection::vec(any::<(u32, u32)>(), 0..4))
            .prop_map(|(clear, values)| Frame::Settings { clear, values }),
        (1..u32::MAX).prop_map(Frame::Ping),
        (0..0x8000_0000_u32, any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (0..0x8000_0000_u32, 0..0x8000_0000_u32)
            .prop_map(|(stream, delta)| Frame::WindowUpdate { stream, delta }),
        (stream(), data, any::<bool>()).prop_map(|(stream, data, fin)| Frame::Data { stream, data, fin }),
    ]
}

proptest! {
    #[test]
    fn what_is_sent_is_read_however_it_is_cut(
        frames in prop::collection::vec(any_frame(), 0..12),
        lengths in prop::collection::vec(1..40_usize, 1..40),
    ) {
        let bytes = bytes_of(&frames);
        let read = read(&bytes, lengths.into_iter().cycle()).unwrap();
        prop_assert_eq!(&read, &together(frames));
        prop_assert_eq!(read, whole(&bytes).unwrap());
    }

    #[test]
    fn whatever_comes_is_read_or_refused_and_a_cut_changes_nothing(
        frames in prop::collection::vec(any_frame(), 0..6),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        lengths in prop::collection::vec(1..40_usize, 1..40),
    ) {
        let mut bytes = bytes_of(&frames);
        if !bytes.is_empty() {
            let place = place.index(bytes.len());
            bytes[place] ^= byte;
        }
        prop_assert_eq!(read(&bytes, lengths.into_iter().cycle()), whole(&bytes));
    }
}
