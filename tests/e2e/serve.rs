//! The read API, asked over TLS by callers with real tokens and real rights.

mod admin;
mod contract;
mod crowd;
pub mod docs;
mod limits;
mod own;
pub mod people;
pub mod rest;
mod rights;
mod stage;
mod stop;
mod tls;
