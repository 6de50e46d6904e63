#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tieline_drill::fuzz::mapping(data));
