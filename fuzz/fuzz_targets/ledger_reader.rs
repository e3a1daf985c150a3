//! Whatever bytes a ledger file holds, reading it ends with a value or a typed error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_ledger::fuzz_reader(data));
