//! Any path and query is a route or an error, and never stops the process.
#![no_main]

use libfuzzer_sys::fuzz_target;
use revisor::serve::route::{Query, Route};

fuzz_target!(|input: (&str, &str)| {
    let (path, query) = input;
    if let Ok(route) = Route::parse(path) {
        let _ = (route.access(), route.name(), route.allowed());
    }
    let _ = Query::parse(Some(query));
});
