//! One direction of SPDY, as a client or a cluster may send it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_kubernetes::fuzz::spdy(data));
