//! Reads frames one by one from a file or a stream that may be cut off or damaged anywhere.

use std::io::{self, Read};

use bytes::Bytes;

use crate::container::{FRAME_PREFIX, Frame, FrameError};

/// What came next.
#[derive(Debug)]
pub enum Next {
    /// A whole frame, and where it begins.
    Frame {
        /// Bytes before it.
        offset: u64,
        /// The frame.
        frame: Frame,
    },
    /// Nothing more, at a frame's border.
    End {
        /// Length of all that was read.
        offset: u64,
    },
    /// The input ends inside the frame that begins here.
    Cut {
        /// Bytes before the incomplete frame.
        offset: u64,
    },
    /// What begins here is no frame; nothing behind it can be found.
    Bad {
        /// Bytes before it.
        offset: u64,
        /// Why it is none.
        error: FrameError,
    },
}

/// Takes frames from an input. Memory is bounded by the largest frame.
#[derive(Debug)]
pub struct FrameReader<R> {
    input: R,
    offset: u64,
}

impl<R: Read> FrameReader<R> {
    /// Starts at the beginning of a recording.
    pub const fn new(input: R) -> Self {
        Self { input, offset: 0 }
    }

    /// Takes the next frame. After anything but [`Next::Frame`] there is nothing more to be had.
    ///
    /// # Errors
    /// When the input itself fails.
    pub fn next_frame(&mut self) -> io::Result<Next> {
        let offset = self.offset;
        let mut prefix = [0; FRAME_PREFIX];
        match fill(&mut self.input, &mut prefix)? {
            0 => return Ok(Next::End { offset }),
            FRAME_PREFIX => {}
            _ => return Ok(Next::Cut { offset }),
        }
        let (tag, length) = match Frame::measure(prefix) {
            Ok(measured) => measured,
            Err(error) => return Ok(Next::Bad { offset, error }),
        };
        let mut bytes = vec![0; length];
        let (start, body) = bytes.split_at_mut(FRAME_PREFIX.min(length));
        start.copy_from_slice(&prefix);
        if fill(&mut self.input, body)? < body.len() {
            return Ok(Next::Cut { offset });
        }
        self.offset += length as u64;
        Ok(Next::Frame { offset, frame: Frame { tag, bytes: Bytes::from(bytes) } })
    }
}

fn fill(input: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let wanted = buffer.len();
    while !buffer.is_empty() {
        match input.read(buffer) {
            Ok(0) => break,
            Ok(count) => buffer = buffer.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(wanted - buffer.len())
}
