//! What somebody writes to a cluster, in each encoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_kubernetes::fuzz::body(data));
