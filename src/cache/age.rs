//! The age of the served Revisions: the time since the API server last confirmed them. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// When the API server last answered, and whether it failed since.
#[derive(Debug)]
pub(super) struct Age {
    good: Instant,
    failing: bool,
}

impl Age {
    /// The Revisions are confirmed now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            good: now,
            failing: false,
        }
    }

    /// The watch or the list has said something, or has failed.
    pub(super) fn note(&mut self, good: bool, now: Instant) {
        self.failing = !good;
        if good {
            self.good = now;
        }
    }

    /// Nothing while the watch stands, however long it has been silent: then there is nothing new.
    pub(super) fn at(&self, now: Instant) -> Duration {
        if self.failing {
            now.duration_since(self.good)
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_last_answer_until_there_is_another() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut age = Age::new(start);
        age.note(true, at(90));
        assert_eq!(age.at(at(100)), Duration::ZERO, "silence is good");
        age.note(false, at(110));
        age.note(false, at(130));
        assert_eq!(age.at(at(150)), Duration::from_secs(60));
        age.note(true, at(160));
        assert_eq!(age.at(at(170)), Duration::ZERO);
    }
}
