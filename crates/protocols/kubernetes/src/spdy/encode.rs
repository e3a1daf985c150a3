//! From frames to bytes.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{
    BadFrame, CLEAR_SETTINGS, FIN, Frame, LONGEST_CONTROL, LONGEST_DATA, StreamId, UNIDIRECTIONAL, VERSION,
    headers::{Compressor, Headers},
    kind,
};

/// Writes one direction of a connection.
#[derive(Debug)]
pub struct Encoder {
    compressor: Compressor,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// At the start of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self { compressor: Compressor::new() }
    }

    /// Adds a frame to `out`; long data as several.
    ///
    /// # Errors
    /// Its headers are too long. The connection is of no more use then.
    pub fn put(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), BadFrame> {
        match frame {
            Frame::SynStream { stream, fin, unidirectional, headers } => {
                let flags = flag(*fin, FIN) | flag(*unidirectional, UNIDIRECTIONAL);
                // With no other stream, and priority and slot 0. Go's implementation sorts by priority, and gives data the one that
                // is 0 here: with any other, data could come before its stream.
                self.with_headers(kind::SYN_STREAM, flags, *stream, &[0; 6], headers, out)
            }
            Frame::SynReply { stream, fin, headers } => {
                self.with_headers(kind::SYN_REPLY, flag(*fin, FIN), *stream, &[], headers, out)
            }
            Frame::Headers { stream, fin, headers } => {
                self.with_headers(kind::HEADERS, flag(*fin, FIN), *stream, &[], headers, out)
            }
            Frame::RstStream { stream, status } => {
                control(kind::RST_STREAM, 0, &[stream.number(), *status], out)
            }
            Frame::Settings { clear, values } => {
                let count = u32::try_from(values.len()).map_err(|_| BadFrame::TooLong(usize::MAX))?;
                let numbers: Vec<u32> =
                    [count].into_iter().chain(values.iter().flat_map(|(id, value)| [*id, *value])).collect();
                control(kind::SETTINGS, flag(*clear, CLEAR_SETTINGS), &numbers, out)
            }
            Frame::Ping(id) => control(kind::PING, 0, &[*id], out),
            Frame::GoAway { last, status } => control(kind::GOAWAY, 0, &[*last, *status], out),
            Frame::WindowUpdate { stream, delta } => control(kind::WINDOW_UPDATE, 0, &[*stream, *delta], out),
            Frame::Data { stream, data, fin } => {
                put_data(*stream, data, *fin, out);
                Ok(())
            }
        }
    }

    fn with_headers(
        &mut self,
        kind: u16,
        flags: u8,
        stream: StreamId,
        between: &[u8],
        headers: &Headers,
        out: &mut BytesMut,
    ) -> Result<(), BadFrame> {
        let block = self.compressor.block(headers)?;
        head(kind, flags, 4 + between.len() + block.len(), out)?;
        out.put_u32(stream.number());
        out.put_slice(between);
        out.put_slice(&block);
        Ok(())
    }
}

fn flag(is_set: bool, flag: u8) -> u8 {
    if is_set { flag } else { 0 }
}

fn head(kind: u16, flags: u8, length: usize, out: &mut BytesMut) -> Result<(), BadFrame> {
    let short = u32::try_from(length).ok().filter(|_| length <= LONGEST_CONTROL);
    let length = short.ok_or(BadFrame::TooLong(length))?;
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(flags) << 24 | length);
    Ok(())
}

fn control(kind: u16, flags: u8, numbers: &[u32], out: &mut BytesMut) -> Result<(), BadFrame> {
    head(kind, flags, numbers.len() * 4, out)?;
    numbers.iter().for_each(|number| out.put_u32(*number));
    Ok(())
}

fn put_data(stream: StreamId, data: &Bytes, fin: bool, out: &mut BytesMut) {
    let mut rest = &data[..];
    loop {
        let (piece, more) = rest.split_at(rest.len().min(LONGEST_DATA));
        let flags = flag(fin && more.is_empty(), FIN);
        out.put_u32(stream.number());
        // Cannot be longer than the bound.
        out.put_u32(u32::from(flags) << 24 | u32::try_from(piece.len()).unwrap_or_default());
        out.put_slice(piece);
        if more.is_empty() {
            return;
        }
        rest = more;
    }
}
