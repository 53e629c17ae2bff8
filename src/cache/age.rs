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

/// The time of the newest Revision that the watch has shown, whichever replica wrote it.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// When it showed the last new Revision, or began to show anything.
    last: Option<Instant>,
    failing: bool,
}

impl Shown {
    /// The watch or the list has said something, or has failed.
    pub(super) fn note(&mut self, good: bool, now: Instant) {
        if good {
            self.last.get_or_insert(now);
        }
        self.failing = !good;
    }

    /// There is a new Revision.
    pub(super) fn new_revision(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// For how long there was no new Revision; none when there may be one that was not shown.
    pub(super) fn quiet(&self, now: Instant) -> Option<Duration> {
        let last = self.last.filter(|_| !self.failing)?;
        Some(now.duration_since(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_quiet_while_the_watch_fails() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut shown = Shown::default();
        assert_eq!(shown.quiet(at(1)), None);
        shown.note(true, at(1));
        shown.note(true, at(2));
        assert_eq!(shown.quiet(at(5)), Some(Duration::from_secs(4)));
        shown.new_revision(at(6));
        shown.note(false, at(7));
        assert_eq!(shown.quiet(at(9)), None);
        shown.note(true, at(10));
        assert_eq!(shown.quiet(at(10)), Some(Duration::from_secs(4)));
    }

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
