//! Tests that need no cluster: generated files, and scripted API servers for faults that a real one does not show.

mod audit;
mod demo;
mod generated;
mod kinds;
mod make;
mod past;
mod script;
mod stream;
mod writer;
