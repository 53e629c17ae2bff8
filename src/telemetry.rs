//! Logging. Metrics are in `metrics`.

use clap::ValueEnum;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::{self, PanicHookInfo};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How log lines look.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Starts logging to standard error.
///
/// # Errors
/// When `filter` cannot be read.
pub fn start(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    // kube logs whole bodies when it cannot read one, and a workload may hold secrets.
    let filter = EnvFilter::try_new(format!("{filter},kube_client=off"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal();
    match format {
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
        LogFormat::Text => log.with_ansi(colours).init(),
    }
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs a panic. The standard library would print the text that could not be cut, which may hold a secret.
fn log_panic(info: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    tracing::error!(
        at = info.location().map(ToString::to_string),
        error = info.payload_as_str().map(without_quotations),
        backtrace = backtrace.map(|backtrace| backtrace.to_string()),
        "a defect: a thread panicked"
    );
}

/// A message without everything from its first quotation mark to its last one.
fn without_quotations(message: &str) -> String {
    let marks = ['"', '\'', '`'];
    match (message.find(marks), message.rfind(marks)) {
        (Some(first), Some(last)) => format!("{}…{}", &message[..first], &message[last + 1..]),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_panic_quotes_nothing() {
        for (message, shown) in [
            (
                "index out of bounds: the len is 3",
                "index out of bounds: the len is 3",
            ),
            (
                "end byte index 9 is out of bounds of `hunter2`",
                "end byte index 9 is out of bounds of …",
            ),
            (
                "called `Result::unwrap()` on an `Err` value: Bad(\"hunter2\")",
                "called …)",
            ),
            (
                "it is inside 'é' (bytes 7..9) of `hunter2é`",
                "it is inside …",
            ),
            ("one `", "one …"),
        ] {
            assert_eq!(without_quotations(message), shown);
        }
    }
}
