//! Revisor beside real operators: what they do to pods, and what the statuses of Revisions say of it.
//!
//! A scene is a short program: steps, each an edit, and what has to be so after it. At one step, which a seed draws,
//! Revisor is ended and started again; `RESTARTS=all` does so at every step, `SEED=7` draws others, and
//! `OPERATOR=lws` leaves the other operators out. To add a scene: a function that is called in its operator's file.

#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks measure real time"
)]

#[path = "../e2e/oracle.rs"]
#[allow(dead_code)]
mod oracle;
#[path = "../e2e/support.rs"]
#[allow(dead_code)]
mod support;

mod kserve;
mod lws;
mod rollouts;
mod scene;
mod stage;
mod way_back;
mod webhooks;
