//! Whatever a target answers, masking it ends in every form, and a text cut in two is masked as the whole.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_masking::fuzz(data));
