//! What `kubectl cp` moves.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_kubernetes::fuzz::archive(data));
