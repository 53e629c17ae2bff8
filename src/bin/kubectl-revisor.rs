//! `revisor`
fn main() {}
