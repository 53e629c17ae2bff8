//! `kubectl revisor`: the plugin.

use clap::Parser;
use revisor::cli;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = cli::PluginArgs::parse();
    cli::run(args, &mut cli::Streams::of_process()).await.into()
}
