#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rehearsal::fuzz::s2s(data));
