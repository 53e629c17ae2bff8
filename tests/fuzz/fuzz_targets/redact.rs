//! Any text and any object can be judged, whatever their names are, and a marker stands only where something was hidden.
#![no_main]

use libfuzzer_sys::fuzz_target;
use revisor::redact::Names;

fuzz_target!(|input: (&str, &str)| {
    let (name, text) = input;
    let names = Names::default();
    assert!(!names.text(text).is_empty() || text.is_empty());
    let _ = names.value(name, text).len();
    let _ = names.arguments(&[name], &[text, name, text]).len();
    if let Ok(mut object) = serde_json::from_str::<serde_json::Value>(text) {
        names.object(&mut object);
    }
});
