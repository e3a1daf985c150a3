//! The access rules from outside: files in, decisions out. Most of it tries to get in.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod asked;
mod cases;
mod decide;
mod diff;
mod emergency;
mod file;
mod index;
mod reach;
mod rego;
mod stay;
mod windows;
mod world;
