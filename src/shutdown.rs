//! Signals: the first asks for an orderly end, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was told twice.
const ABORTED: i32 = 130;

/// Cancels the returned token at the first SIGTERM or SIGINT, and ends the process at the second.
///
/// # Errors
/// When signals cannot be listened to.
pub fn listen() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let stop = CancellationToken::new();
    let first = stop.clone();
    // Lives as long as the process: it is what ends it.
    tokio::spawn(async move {
        one(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping: writing what is waiting; a second signal ends at once");
        first.cancel();
        one(&mut terminate, &mut interrupt).await;
        tracing::warn!("stopped at once");
        std::process::exit(ABORTED);
    });
    Ok(stop)
}

async fn one(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
