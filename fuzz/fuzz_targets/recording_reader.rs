//! Whatever bytes a recording file holds, reading it ends with a value or a typed error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_recording::fuzz_reader(data));
