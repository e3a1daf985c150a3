//! What the agent, a program's keeper and its starter say to each other, each over a socket that nobody else has.
//!
//! Down goes the order, with the program's streams beside it as descriptors; then bytes, each the number of a signal. Up come lines.

use std::{
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{ffi::OsStringExt as _, net::UnixStream},
    },
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};
use serde::{Deserialize, Serialize};

/// Longest order: a command, variables, and what is around them.
const LONGEST: usize = 1 << 20;
/// Standard input, output and error.
pub(super) const STREAMS: usize = 3;

/// A program as it is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) become_whom: Account,
    pub(super) has_terminal: bool,
    pub(super) may_gain: bool,
    /// Where it begins.
    pub(super) folder: Vec<u8>,
    /// The file, the name that the program finds itself called by, and the arguments.
    pub(super) words: Vec<Vec<u8>>,
    /// `NAME=value`.
    pub(super) variables: Vec<Vec<u8>>,
}

/// Numbers of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// What stands before the texts, which are bytes that JSON cannot carry.
#[derive(Serialize, Deserialize)]
struct Head {
    account: Account,
    has_terminal: bool,
    may_gain: bool,
    words: usize,
}

/// What a keeper says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// The program runs.
    Started,
    /// It does not.
    Failed { what: String },
    /// It has ended, and all that it started, but for what is `alive`.
    Over { status: Option<u32>, signal: Option<i32>, core_dumped: bool, left: u32, alive: u32 },
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Launch {
    fn encode(&self) -> io::Result<Vec<u8>> {
        let head = Head {
            account: self.become_whom.clone(),
            has_terminal: self.has_terminal,
            may_gain: self.may_gain,
            words: self.words.len(),
        };
        let mut parts = vec![serde_json::to_vec(&head)?, self.folder.clone()];
        parts.extend(self.words.iter().chain(&self.variables).cloned());
        if parts.iter().any(|part| part.contains(&0)) {
            return Err(invalid("there is a zero byte in it"));
        }
        let body = parts.join(&0);
        if body.len() > LONGEST {
            return Err(invalid("it is too long"));
        }
        Ok(body)
    }

    fn decode(body: &[u8]) -> io::Result<Self> {
        let mut parts = body.split(|byte| *byte == 0);
        let mut next = || parts.next().map(<[u8]>::to_vec).ok_or_else(|| invalid("a part is missing"));
        let head: Head = serde_json::from_slice(&next()?)?;
        let folder = next()?;
        let words = (0..head.words).map(|_| next()).collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            become_whom: head.account,
            has_terminal: head.has_terminal,
            may_gain: head.may_gain,
            folder,
            words,
            variables: parts.map(<[u8]>::to_vec).collect(),
        })
    }

    /// Sends it, and copies of these descriptors with it.
    pub(super) fn send(&self, to: &UnixStream, streams: [BorrowedFd<'_>; STREAMS]) -> io::Result<()> {
        let body = self.encode()?;
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(STREAMS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !beside.push(SendAncillaryMessage::ScmRights(&streams)) {
            return Err(invalid("the descriptors do not fit"));
        }
        let sent = sendmsg(to.as_fd(), &[IoSlice::new(&length)], &mut beside, SendFlags::NOSIGNAL)?;
        let mut to = to;
        to.write_all(length.get(sent..).unwrap_or_default())?;
        to.write_all(&body)
    }

    /// Receives one.
    pub(super) fn receive(from: &UnixStream) -> io::Result<(Self, [OwnedFd; STREAMS])> {
        let mut length = [0; 4];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(STREAMS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let came =
            recvmsg(from.as_fd(), &mut [IoSliceMut::new(&mut length)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        let mut streams = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                streams.extend(descriptors);
            }
        }
        let mut from = from;
        from.read_exact(length.get_mut(came.bytes..).unwrap_or_default())?;
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(invalid("it is too long"));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        let streams = streams.try_into().map_err(|_| invalid("the streams are missing"))?;
        Ok((Self::decode(&body)?, streams))
    }
}

/// Bytes as a system's text.
pub(super) fn os(bytes: &[u8]) -> std::ffi::OsString {
    std::ffi::OsString::from_vec(bytes.to_vec())
}

impl Told {
    pub(super) fn say(&self, to: &UnixStream) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut to = to;
        to.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            become_whom: Account { uid: 7, gid: 8, groups: vec![8, 9] },
            has_terminal: true,
            may_gain: false,
            folder: b"/srv".to_vec(),
            words: vec![b"/bin/sh".to_vec(), b"-sh".to_vec(), b"\xff\xfe".to_vec(), Vec::new()],
            variables: vec![b"A=1".to_vec(), b"B=\xff".to_vec()],
        }
    }

    #[test]
    fn an_order_arrives_as_it_was_with_its_streams() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        launch().send(&here, [reader.as_fd(), writer.as_fd(), writer.as_fd()]).unwrap();
        drop(writer);
        let (received, [_, output, errors]) = Launch::receive(&there).unwrap();
        assert_eq!(received, launch());
        drop(errors);
        std::fs::File::from(output).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn what_no_program_can_be_given_is_not_sent() {
        let (here, _there) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let streams = [reader.as_fd(), writer.as_fd(), writer.as_fd()];
        let zero = Launch { words: vec![b"a\0b".to_vec()], ..launch() };
        let long = Launch { words: vec![vec![b'a'; LONGEST]], ..launch() };
        assert!(zero.send(&here, streams).is_err() && long.send(&here, streams).is_err());
    }

    #[test]
    fn an_order_without_its_streams_is_none() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&3_u32.to_be_bytes()).unwrap();
        here.write_all(b"{}\0").unwrap();
        assert!(Launch::receive(&there).is_err());
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert!(Launch::receive(&there).is_err());
    }
}
