//! Anything as a package's tarball.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| registry_gate::fuzzing::tarball(bytes));
