//! A kind file of any bytes is refused or read, and never stops the process.
#![no_main]

use libfuzzer_sys::fuzz_target;
use revisor::kinds::Kind;

fuzz_target!(|text: &str| {
    let _ = Kind::parse("fuzz.yaml", text);
});
