//! `revisor`: the controller.

use clap::Parser;
use revisor::commands::{RevisorArgs, execute};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match execute(RevisorArgs::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("revisor: {error:#}");
            ExitCode::FAILURE
        }
    }
}
