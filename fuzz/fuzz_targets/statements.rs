//! Whatever text a client sends, reading it ends, and what cannot be read may be anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_sql::fuzz(data));
