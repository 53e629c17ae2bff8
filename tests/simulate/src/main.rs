//! Revisor in a simulated world.
//!
//! The recorder, the cache, the queue, the writer, the checkpoint and the Lease run as they are shipped, on API servers
//! in memory, in one thread, with a paused clock. A seed makes a [`plan`](plan::Plan): changes of workloads, and faults.
//! Oracles judge every write, and ask for what is missing at the end. The same seed makes the same history.

mod call;
mod command;
mod controllers;
mod damage;
mod editor;
mod etcd;
mod fault;
mod fidelity;
mod history;
mod hostile;
mod kinds;
mod network;
mod oracle;
mod os;
mod plan;
mod pool;
mod replica;
mod server;
mod shrink;
mod trace;
mod truth;
mod watch;
mod world;

use clap::Parser;
use std::process::ExitCode;

// As in the product; a fifth of the time of a history is spent on allocating.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::run(command::Command::parse())
}
