//! The read API, asked over TLS by callers with real tokens and real rights.

mod contract;
mod deployed;
mod docs;
mod limits;
mod people;
mod rest;
mod rights;
mod stop;
mod tls;
