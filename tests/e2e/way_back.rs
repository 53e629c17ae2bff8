//! The plugin's way back, against a real API server: every kind, every way to apply, and what stands in between.

mod cost;
mod errors;
mod kinds;
mod past;
mod races;
mod refused;
mod stage;
mod verbs;
