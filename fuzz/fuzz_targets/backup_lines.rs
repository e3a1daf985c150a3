//! Whatever lines a backup holds whose seal is good, checking them ends with what it holds or a typed error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_gateway::backup::fuzz_lines(data));
