//! Anything as what a publisher sends.

#![no_main]

libfuzzer_sys::fuzz_target!(|json: &[u8]| registry_gate::fuzzing::document(json));
