//! Revisor keeps the history that Kubernetes does not keep: each change of each inference workload becomes one
//! immutable [`revision::Revision`].
//!
//! ```text
//!  workloads in the API server
//!       |  LIST + WATCH, every change in order
//!       v
//!     watch -----Fact-----> record ----POST----> Revisions in the API server
//!       ^                                              |  LIST + WATCH
//!       |                                              v
//!       +---------------------Head----------------- cache ----JSON----> serve
//!                                                       |
//!  pods, nodes ------------------------------------> observe ---PATCH---> status of Revisions
//! ```
//!
//! The modules in the order of the data; each file beside a folder is the contract of that stage.

// What the stages share.
pub mod content;
pub mod gzip;
pub mod json;
pub mod quantity;
pub mod redact;
pub mod revision;
pub mod snapshot;
pub mod text;
pub mod view;
pub mod workload;

// The stages.
pub mod kinds;
pub mod watch;
pub mod record;
pub mod observe;
pub mod cache;
pub mod serve;

// What people ask of a history.
pub mod history;
pub mod manifest;
pub mod cli;

// What holds them together.
pub mod client;
pub mod clock;
pub mod commands;
pub mod config;
pub mod lead;
pub mod metrics;
pub mod mutant;
pub mod run;
pub mod shutdown;
pub mod table;
pub mod telemetry;
