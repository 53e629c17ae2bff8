//! `kubectl revisor`: the plugin.

use clap::Parser;
use revisor::cli;
use revisor::text::visible;
use std::io::Write;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match cli::run(cli::PluginArgs::parse()).await {
        Ok(printed) => {
            if let Some(warning) = printed.warning {
                eprintln!("Warning: {warning}");
            }
            // A reader that stops early, such as `head`, is no failure.
            let _ = std::io::stdout().write_all(printed.text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", visible(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
