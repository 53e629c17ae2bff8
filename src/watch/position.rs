//! Positions in the history of a kind, and the times that they may be given. Pure.

use crate::workload::ResourceVersion;
use chrono::{DateTime, Utc};

/// A place in the history of a kind, with a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The place.
    pub at: ResourceVersion,
    /// A time at which the history had come no further than that.
    pub time: DateTime<Utc>,
}

/// The position of one watch, and what dates it.
///
/// Events may be passed on long after they happened, so only a consistent read of the present dates a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dates {
    /// Every change up to there was passed on, by this process or an earlier one.
    since: Option<Position>,
    /// A place that the history had reached at a known time, and that `since` has not passed yet.
    clock: Option<Position>,
}

impl Dates {
    /// Goes on from where an earlier process was; nowhere when nothing was recorded before.
    pub fn new(since: Option<Position>) -> Self {
        Self { since, clock: None }
    }

    /// Up to where every change was passed on.
    pub fn since(&self) -> Option<Position> {
        self.since
    }

    /// Every change up to `at` was passed on. Returns that place with a time that is old enough.
    pub fn moved(&mut self, at: ResourceVersion) -> Position {
        let clock = self.clock.filter(|clock| clock.at <= at);
        let time = clock
            .into_iter()
            .chain(self.since)
            .map(|position| position.time)
            .max()
            .unwrap_or_default();
        *self.since.insert(Position { at, time })
    }

    /// A consistent read that was asked at the time `asked` showed the history at `at`.
    pub fn measured(&mut self, at: ResourceVersion, asked: DateTime<Utc>) {
        let is_passed = |clock: Position| self.since.is_some_and(|since| since.at >= clock.at);
        if self.clock.is_none_or(is_passed) {
            self.clock = Some(Position { at, time: asked });
        }
    }

    /// The position is of another history than the present one. Returns where it was.
    pub fn forget(&mut self) -> Option<ResourceVersion> {
        self.since.take().map(|since| since.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rv(number: u32) -> ResourceVersion {
        number.to_string().parse().expect("positive")
    }

    fn second(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    #[test]
    fn a_place_is_dated_by_the_last_read_that_showed_an_older_one() {
        let since = Position {
            at: rv(5),
            time: second(0),
        };
        let mut dates = Dates::new(Some(since));
        dates.measured(rv(100), second(60));
        assert_eq!(dates.moved(rv(99)).time, second(0));
        dates.measured(rv(200), second(120));
        assert_eq!(
            dates.moved(rv(150)).time,
            second(60),
            "the first is not passed yet"
        );
        dates.measured(rv(200), second(120));
        assert_eq!(dates.moved(rv(199)).time, second(60));
        assert_eq!(dates.moved(rv(200)).time, second(120));
        assert_eq!((dates.forget(), dates.forget()), (Some(rv(200)), None));
    }

    #[test]
    fn a_place_without_any_read_is_as_old_as_time() {
        assert_eq!(Dates::new(None).moved(rv(7)).time, DateTime::UNIX_EPOCH);
    }
}
