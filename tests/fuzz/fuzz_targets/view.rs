//! Any JSON as a workload of any built-in kind makes a view or none, and never stops the process.
#![no_main]

use libfuzzer_sys::fuzz_target;
use revisor::json::Document;
use revisor::kinds::Catalogue;
use revisor::record::extract::components;
use revisor::redact::Names;
use revisor::view::{History, MAX_BYTES, complete, view};

fuzz_target!(|input: (u8, &str)| {
    let (which, text) = input;
    let catalogue = Catalogue::built_in();
    let kind = &catalogue.kinds()[usize::from(which) % catalogue.kinds().len()];
    let Ok(document) = Document::parse(text) else {
        return;
    };
    let names = Names::default();
    let Some(mut view) = view(
        kind,
        document.root(),
        History::First { generation: 1 },
        &names,
    ) else {
        return;
    };
    if let Some(file) = &kind.view
        && let Ok(outputs) = components(file, text)
    {
        complete(&mut view, file, &outputs, &names);
    }
    assert!(serde_json::to_vec(&view).is_ok_and(|json| json.len() <= MAX_BYTES));
});
