//! Whatever an identity provider (or who has its token) sends as filter, path or body, reading it ends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_scim::fuzz_reader(data));
