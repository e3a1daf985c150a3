//! Where splice(2) is not: everything is copied.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

/// There is none.
#[derive(Debug)]
pub(super) enum Bulk {}

impl Bulk {
    pub(super) const fn any() -> Option<Self> {
        None
    }

    pub(super) fn poll_take(&mut self, _: &mut Context<'_>, _: &TcpStream) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn poll_give(
        &mut self,
        _: &mut Context<'_>,
        _: Option<&TcpStream>,
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) const fn is_empty(&self) -> bool {
        match *self {}
    }

    pub(super) const fn done(self) {
        match self {}
    }
}

#[cfg(test)]
pub(super) const fn kept() -> usize {
    0
}
