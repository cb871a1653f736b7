#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = oxhorn::saving::Loader::new().load_bytes(bytes.to_vec());
});
