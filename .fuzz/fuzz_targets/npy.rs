#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = oxhorn::data::npy::from_bytes(bytes.to_vec());
});
