//! Whatever a terminal showed, for people who look at it later.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_recording::fuzz_terminal(data));
