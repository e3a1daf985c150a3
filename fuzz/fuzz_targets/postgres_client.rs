//! A client's bytes into the PostgreSQL engine, before and after log-in: no panic, no hang, bounded memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoop_postgres::fuzz::client(data));
