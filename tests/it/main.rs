//! Tests that need no cluster: generated files, and scripted API servers for faults that a real one does not show.

#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks measure real time"
)]

mod audit;
mod cases;
mod compare;
mod demo;
mod explain;
mod facts;
mod first_release;
mod generated;
mod kinds;
mod log_secrets;
mod make;
mod manifests;
mod past;
mod plugin_rollback;
mod plugin_secrets;
mod redaction;
mod run;
mod script;
mod stream;
mod writer;
