//! The HTTP side: the read API from the cache, and the admin port (probes, metrics, and the state of
//! a replica).
//!
//! In: the cache through [`crate::cache::RevisionLister`], the queue through [`status::Backlog`],
//! readiness, metrics, and the API server for reviews and for whole workloads. Out: two
//! [`listen::Handler`]s. A request goes `listen` → `api` → `route` (what it needs of its caller) →
//! `auth` → `revisions`, `own`, `whole`, `token` or `openapi` → `answer`.

pub mod admin;
mod answer;
pub mod api;
pub mod auth;
mod error;
pub mod listen;
pub mod openapi;
mod own;
pub mod payload;
mod revisions;
pub mod route;
pub mod status;
pub mod tls;
mod token;
mod whole;
