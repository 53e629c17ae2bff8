//! How long to wait before something is tried again. Pure but for the lot.

use std::time::Duration;

/// First wait after a failure, and the longest.
pub type Waits = (Duration, Duration);

/// The wait after so many failures in a row: doubles from the first to the longest; half of it is drawn by lot.
pub fn backoff((first, longest): Waits, failures: u32) -> Duration {
    let full = first
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(longest);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = (Duration::from_millis(100), Duration::from_secs(5));
        for (failures, full) in [
            (0, 100),
            (1, 100),
            (2, 200),
            (3, 400),
            (7, 5000),
            (u32::MAX, 5000),
        ] {
            let wait = backoff(waits, failures);
            let full = Duration::from_millis(full);
            assert!(wait >= full / 2 && wait <= full, "{failures}: {wait:?}");
        }
    }
}
