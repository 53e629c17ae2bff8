//! The read API, asked over TLS by callers with real tokens and real rights.

mod admin;
mod contract;
mod crowd;
mod deployed;
pub mod docs;
mod limits;
mod own;
mod people;
mod rest;
mod rights;
mod stage;
mod stop;
mod tls;
