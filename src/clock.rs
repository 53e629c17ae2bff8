//! The only reader of wall-clock time and of the operating system's monotonic clock.
//!
//! Everything else takes a time as an argument, or calls these functions; clippy's `disallowed-methods` holds that.
//! Durations are measured with [`tokio::time::Instant`], which a test can pause; [`monotonic`] is for the few places
//! that measure real time outside a runtime.

#![expect(
    clippy::disallowed_methods,
    reason = "the one module that reads the clocks of the operating system"
)]

use chrono::{DateTime, Utc};
use k8s_openapi::jiff::Timestamp;
use std::time::Instant;

/// The wall-clock time in UTC.
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The wall-clock time as the type of `metav1.MicroTime`.
pub fn timestamp() -> Timestamp {
    Timestamp::now()
}

/// The operating system's monotonic clock, which a paused runtime does not stop.
pub fn monotonic() -> Instant {
    Instant::now()
}
