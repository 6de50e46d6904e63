#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tieline_testkit::fuzz::wire_seam(data));
