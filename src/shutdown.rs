//! Signals: the first asks for an orderly end, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was told twice.
const ABORTED: i32 = 130;

/// The signals that ask for an end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Cancels the returned token at the first SIGTERM or SIGINT, and ends the process at the second.
///
/// # Errors
/// When signals cannot be listened to.
pub fn listen() -> std::io::Result<CancellationToken> {
    let mut signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    // Lives as long as the process, because it ends it.
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping: writing what is waiting; a second signal ends at once");
        first.cancel();
        signals.next().await;
        tracing::warn!("stopped at once");
        std::process::exit(ABORTED);
    });
    Ok(stop)
}
