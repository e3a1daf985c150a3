//! Whatever bytes a backup file holds, reading it ends with what was signed or a typed error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_recording::fuzz_sealed(data));
