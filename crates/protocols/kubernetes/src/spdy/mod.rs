//! SPDY/3.1, without I/O: bytes in, frames out, and the other way.
