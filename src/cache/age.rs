//! How old what is served may be: for how long the watch of Revisions has been failing. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// A watch that starts again and finds nothing new says nothing; no error for so long means that it is good. Longer
/// than any pause between two attempts.
const GOOD_AFTER: Duration = Duration::from_secs(75);

/// When the watch broke, and when it last failed.
#[derive(Debug, Default)]
pub(super) struct Age(Option<(Instant, Instant)>);

impl Age {
    /// Something came from the watch: an event, or an error.
    pub(super) fn note(&mut self, good: bool, now: Instant) {
        self.0 = (!good).then(|| (self.0.map_or(now, |(broken, _)| broken), now));
    }

    /// For how long nobody has confirmed what is there.
    pub(super) fn at(&mut self, now: Instant) -> Duration {
        self.0 = self.0.filter(|(_, failed)| now.duration_since(*failed) < GOOD_AFTER);
        self.0.map_or(Duration::ZERO, |(broken, _)| now.duration_since(broken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_first_failure_until_something_is_good() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut age = Age::default();
        assert_eq!(age.at(at(100)), Duration::ZERO);
        age.note(false, at(100));
        age.note(false, at(130));
        assert_eq!(age.at(at(150)), Duration::from_secs(50));
        age.note(true, at(160));
        assert_eq!(age.at(at(170)), Duration::ZERO);
        age.note(false, at(200));
        assert_eq!(age.at(at(274)), Duration::from_secs(74));
        assert_eq!(age.at(at(275)), Duration::ZERO, "the watch has been silent, which is good");
    }
}
