//! Anything as what an upstream says of a package.

#![no_main]

libfuzzer_sys::fuzz_target!(|json: &[u8]| registry_gate::fuzzing::packument(json));
