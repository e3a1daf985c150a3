//! What somebody asks of one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_kubernetes::fuzz::path(data));
