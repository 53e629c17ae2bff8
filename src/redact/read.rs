//! The readers: each knows one format, and finds the parts of a text in that format that are secrets. Pure.
//!
//! A part that any reader finds is hidden. A reader that meets another format finds nothing in it.

pub(super) mod account;
pub(super) mod argv;
pub(super) mod assignment;
pub(super) mod block;
pub(super) mod flow;
pub(super) mod header;
pub(super) mod node;
pub(super) mod pem;
pub(super) mod prose;
pub(super) mod setting;
pub(super) mod shape;
pub(super) mod shell;
pub(super) mod tools;
pub(super) mod url;
pub(super) mod xml;
