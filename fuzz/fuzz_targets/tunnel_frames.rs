//! A peer's frames, after the inner TLS: see `hoop_tunnel::core`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hoop_tunnel::fuzz_frames(bytes));
