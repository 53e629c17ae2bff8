//! What a tenant can do who may do everything in one namespace: raw requests with that token, and no admission policy.
//!
//! Each attack is tried against two replicas that run, or against one that was away meanwhile. docs/security.md lists them.

mod away;
mod bombs;
mod contested;
mod forge;
mod readers;
mod running;
mod stage;
