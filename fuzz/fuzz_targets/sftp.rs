//! A transfer by sftp, of a client and a host.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_ssh::fuzz::sftp(data));
