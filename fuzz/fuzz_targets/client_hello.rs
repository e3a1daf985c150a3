//! The first bytes of a connection, before anybody is authenticated: see `hoop_tunnel::hello`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hoop_tunnel::fuzz_client_hello(bytes));
