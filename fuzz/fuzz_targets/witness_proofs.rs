//! Whatever a witness answers or a proof holds, it is a value or nothing, and proves nothing that is not so.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_ledger::fuzz::proofs(data));
