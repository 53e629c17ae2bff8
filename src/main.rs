//! `revisor`: the controller.

use clap::Parser;
use revisor::{commands, config};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match commands::execute(config::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("revisor: {error:#}");
            ExitCode::FAILURE
        }
    }
}
