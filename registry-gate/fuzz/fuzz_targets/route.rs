//! Anything as a request line.

#![no_main]

libfuzzer_sys::fuzz_target!(|line: &str| registry_gate::fuzzing::route(line));
