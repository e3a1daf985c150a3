//! Whatever a host prints, masked.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_ssh::fuzz::output(data));
