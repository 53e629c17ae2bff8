//! Which Revisions stay. Pure: it is told the Revisions of one workload, the limits and the time.
//!
//! A Revision goes when nothing keeps it. What keeps it, in this order: it is the head; its pods run; it is pinned; it is
//! the newest that came to run; it is a Baseline, or the newest of a day of the last thirty; it is one of the newest
//! hundred, or younger than thirty days. Over a budget the last three lines count for less, and never the others.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::collections::BTreeSet;
use std::fmt;

/// So many pins of a workload count; the newest of them.
pub const PINS: usize = 20;
/// The newest Revision of each of so many days is kept.
const DAYS: i64 = 30;
/// Over a budget so many of a workload are kept first, then none but those that are always kept.
pub const THIN: usize = 10;

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many Revisions of a workload are kept, whatever their age. 0 means the default.
    pub keep_last: usize,
    /// Younger ones are kept, however many there are; also those of a workload that was deleted since. Nothing or less
    /// means the default.
    pub keep_for: TimeDelta,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keep_last: 100,
            keep_for: TimeDelta::days(30),
        }
    }
}

impl Limits {
    /// The limits, with the defaults in place of those that would keep nothing.
    pub fn or_default(self) -> Self {
        let default = Self::default();
        Self {
            keep_last: if self.keep_last == 0 {
                default.keep_last
            } else {
                self.keep_last
            },
            keep_for: if self.keep_for <= TimeDelta::zero() {
                default.keep_for
            } else {
                self.keep_for
            },
        }
    }
}

/// How far a budget is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pressure {
    /// It is not.
    None,
    /// All but the newest ten of a workload may go.
    Thin,
    /// All may go but what is always kept.
    Bare,
}

/// The part of a Revision that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// metadata.generation of the workload; of a Gap the last.
    pub generation: i64,
    /// When the workload was changed.
    pub changed: DateTime<Utc>,
    /// What it is.
    pub kind: EntryKind,
    /// Whether pods of it run.
    pub is_live: bool,
    /// Whether its outcome is Succeeded and nobody marked it as bad.
    pub is_good: bool,
    /// Whether it carries the annotation `revisor.dev/pin`.
    pub is_pinned: bool,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A change.
    Change,
    /// The first sight of a workload.
    Baseline,
    /// Generations that were not recorded. `is_empty` says that all of them were found later.
    Gap {
        /// Whether nothing is missing any more.
        is_empty: bool,
    },
}

/// Why a Revision stays, or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The newest Revision of a workload.
    Head,
    /// Its pods run.
    Live,
    /// It is pinned.
    Pinned,
    /// The newest that came to run, and is not marked as bad.
    LastGood,
    /// The first sight of the workload.
    Baseline,
    /// The newest of a day.
    NewestOfDay,
    /// One of the newest.
    Last,
    /// Younger than the limit.
    Young,
    /// It goes: older than the limits.
    Old,
    /// It goes: a budget is exceeded.
    OverBudget,
    /// It goes: the workload was deleted so long ago.
    WorkloadDeleted,
    /// It goes: all generations of the Gap were found later.
    EmptyGap,
}

impl Verdict {
    /// Whether the Revision stays.
    pub fn stays(self) -> bool {
        self <= Self::Young
    }

    /// Whether no budget takes it.
    pub fn is_firm(self) -> bool {
        self <= Self::LastGood
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "newest revision of the workload",
            Self::Live => "its pods run",
            Self::Pinned => "pinned",
            Self::LastGood => "last good revision",
            Self::Baseline => "first sight of the workload",
            Self::NewestOfDay => "newest of its day",
            Self::Last => "one of the last revisions",
            Self::Young => "younger than the limit",
            Self::Old => "older than the limits",
            Self::OverBudget => "over budget",
            Self::WorkloadDeleted => "the workload was deleted before the limit",
            Self::EmptyGap => "a Gap whose generations were all found",
        })
    }
}

/// The verdicts on the Revisions of one workload, which are sorted by generation; `deleted` is when the workload was.
pub fn judge(
    entries: &[Entry],
    deleted: Option<DateTime<Utc>>,
    limits: Limits,
    pressure: Pressure,
    now: DateTime<Utc>,
) -> Vec<Verdict> {
    let judge = Judge::new(entries, deleted, limits.or_default(), pressure, now);
    (0..entries.len()).map(|at| judge.verdict(at)).collect()
}

/// What is known of all entries together.
struct Judge<'e> {
    entries: &'e [Entry],
    limits: Limits,
    pressure: Pressure,
    now: DateTime<Utc>,
    /// Whether the workload was deleted before the limit.
    is_over: bool,
    head: Option<usize>,
    last_good: Option<usize>,
    pins: BTreeSet<usize>,
    newest_of_days: BTreeSet<usize>,
}

impl<'e> Judge<'e> {
    fn new(
        entries: &'e [Entry],
        deleted: Option<DateTime<Utc>>,
        limits: Limits,
        pressure: Pressure,
        now: DateTime<Utc>,
    ) -> Self {
        let is_over = deleted.is_some_and(|deleted| now - deleted > limits.keep_for);
        let with_content = |at: &usize| !matches!(entries[*at].kind, EntryKind::Gap { .. });
        let newest = || (0..entries.len()).rev();
        let pins = newest().filter(|at| entries[*at].is_pinned);
        Self {
            entries,
            limits,
            pressure,
            now,
            is_over,
            head: newest().find(with_content),
            last_good: newest().find(|at| entries[*at].is_good),
            pins: pins.take(PINS).collect(),
            newest_of_days: newest_of_days(entries, now),
        }
    }

    fn verdict(&self, at: usize) -> Verdict {
        let entry = &self.entries[at];
        if self.pins.contains(&at) {
            return Verdict::Pinned;
        }
        if entry.kind == (EntryKind::Gap { is_empty: true }) {
            return Verdict::EmptyGap;
        }
        if self.is_over {
            return Verdict::WorkloadDeleted;
        }
        self.firm(at)
            .or_else(|| self.kept_without_pressure(at))
            .or_else(|| self.kept_by_limits(at))
            .unwrap_or(if self.pressure == Pressure::None {
                Verdict::Old
            } else {
                Verdict::OverBudget
            })
    }

    fn firm(&self, at: usize) -> Option<Verdict> {
        if self.head == Some(at) {
            Some(Verdict::Head)
        } else if self.entries[at].is_live {
            Some(Verdict::Live)
        } else if self.last_good == Some(at) {
            Some(Verdict::LastGood)
        } else {
            None
        }
    }

    fn kept_without_pressure(&self, at: usize) -> Option<Verdict> {
        if self.pressure != Pressure::None {
            None
        } else if self.entries[at].kind == EntryKind::Baseline {
            Some(Verdict::Baseline)
        } else if self.newest_of_days.contains(&at) {
            Some(Verdict::NewestOfDay)
        } else {
            None
        }
    }

    fn kept_by_limits(&self, at: usize) -> Option<Verdict> {
        let newer = self.entries.len() - 1 - at;
        let last = match self.pressure {
            Pressure::None => self.limits.keep_last,
            Pressure::Thin => THIN,
            Pressure::Bare => 0,
        };
        if newer < last {
            return Some(Verdict::Last);
        }
        let is_young = self.now - self.entries[at].changed < self.limits.keep_for;
        (is_young && self.pressure == Pressure::None).then_some(Verdict::Young)
    }
}

fn newest_of_days(entries: &[Entry], now: DateTime<Utc>) -> BTreeSet<usize> {
    let mut days: BTreeSet<NaiveDate> = BTreeSet::new();
    let mut newest = BTreeSet::new();
    for (at, entry) in entries.iter().enumerate().rev() {
        let is_recent = now - entry.changed < TimeDelta::days(DAYS);
        let is_gap = matches!(entry.kind, EntryKind::Gap { .. });
        if is_recent && !is_gap && days.insert(entry.changed.date_naive()) {
            newest.insert(at);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-06-01T12:00:00Z".parse().expect("a time")
    }

    fn change(generation: i64, days_ago: i64) -> Entry {
        Entry {
            generation,
            changed: now() - TimeDelta::days(days_ago),
            kind: EntryKind::Change,
            is_live: false,
            is_good: false,
            is_pinned: false,
        }
    }

    /// A change a day, the oldest first.
    fn daily(count: i64) -> Vec<Entry> {
        (1..=count)
            .map(|number| change(number, count - number))
            .collect()
    }

    fn plain(entries: &[Entry], limits: Limits) -> Vec<Verdict> {
        judge(entries, None, limits, Pressure::None, now())
    }

    #[test]
    fn beyond_number_and_age_they_go() {
        let mut entries = daily(400);
        entries[0].kind = EntryKind::Baseline;
        entries[1].is_good = true;
        entries[2].is_pinned = true;
        entries[3].is_live = true;
        let verdicts = plain(&entries, Limits::default());
        use Verdict::{Baseline, Head, Last, LastGood, Live, NewestOfDay, Old, Pinned};
        assert_eq!(verdicts[..5], [Baseline, LastGood, Pinned, Live, Old]);
        assert_eq!((verdicts[299], verdicts[300]), (Old, Last));
        assert_eq!((verdicts[398], verdicts[399]), (NewestOfDay, Head));
    }

    #[test]
    fn a_limit_of_nothing_is_the_default() {
        let nothing = Limits {
            keep_last: 0,
            keep_for: TimeDelta::zero(),
        };
        let entries = daily(300);
        assert_eq!(plain(&entries, nothing), plain(&entries, Limits::default()));
    }

    #[test]
    fn the_last_good_one_outlives_a_hundred_failures_under_any_pressure() {
        let mut entries = daily(101);
        entries[0].is_good = true;
        for pressure in [Pressure::None, Pressure::Thin, Pressure::Bare] {
            let verdicts = judge(&entries, None, Limits::default(), pressure, now());
            assert_eq!(verdicts[0], Verdict::LastGood, "{pressure:?}");
        }
    }

    #[test]
    fn under_pressure_ten_stay_and_then_what_is_always_kept() {
        let entries = daily(50);
        let stay = |pressure| {
            let verdicts = judge(&entries, None, Limits::default(), pressure, now());
            verdicts.into_iter().filter(|it| it.stays()).count()
        };
        assert_eq!(
            [
                stay(Pressure::None),
                stay(Pressure::Thin),
                stay(Pressure::Bare)
            ],
            [50, 10, 1]
        );
    }

    #[test]
    fn of_a_deleted_workload_all_go_after_the_limit_but_pins() {
        let mut entries = daily(3);
        entries[0].is_pinned = true;
        let judged = |days| {
            let deleted = Some(now() - TimeDelta::days(days));
            judge(&entries, deleted, Limits::default(), Pressure::None, now())
        };
        assert!(judged(29).into_iter().all(Verdict::stays));
        let gone = Verdict::WorkloadDeleted;
        assert_eq!(judged(31), [Verdict::Pinned, gone, gone]);
    }

    #[test]
    fn an_emptied_gap_goes_and_is_never_the_head() {
        let mut entries = daily(3);
        entries[1].kind = EntryKind::Gap { is_empty: true };
        entries[2].kind = EntryKind::Gap { is_empty: false };
        let verdicts = plain(&entries, Limits::default());
        assert_eq!(verdicts, [Verdict::Head, Verdict::EmptyGap, Verdict::Last]);
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let one = (0..400_i64, 0..4_u8, any::<[bool; 3]>());
        proptest::collection::vec(one, 0..150).prop_map(|all| {
            let mut ages: Vec<_> = all.iter().map(|(age, ..)| *age).collect();
            ages.sort_unstable_by(|a, b| b.cmp(a));
            let parts = all.into_iter().zip(ages).zip(1..);
            let entry =
                |(((_, kind, flags), age), generation): (((i64, u8, [bool; 3]), i64), i64)| {
                    let kind = match kind {
                        0 => EntryKind::Baseline,
                        1 => EntryKind::Gap { is_empty: flags[0] },
                        _ => EntryKind::Change,
                    };
                    let has_content = !matches!(kind, EntryKind::Gap { .. });
                    Entry {
                        kind,
                        is_live: flags[0] && has_content,
                        is_good: flags[1] && has_content,
                        is_pinned: flags[2],
                        ..change(generation, age)
                    }
                };
            parts.map(entry).collect()
        })
    }

    fn pressure() -> impl Strategy<Value = Pressure> {
        prop_oneof![
            Just(Pressure::None),
            Just(Pressure::Thin),
            Just(Pressure::Bare)
        ]
    }

    proptest! {
        #[test]
        fn head_live_pinned_and_last_good_never_go(entries in entries(), pressure in pressure(), last in 0..200_usize, days in -1..400_i64) {
            let limits = Limits { keep_last: last, keep_for: TimeDelta::days(days) };
            let verdicts = judge(&entries, None, limits, pressure, now());
            let has_content = |entry: &Entry| !matches!(entry.kind, EntryKind::Gap { .. });
            let head = entries.iter().rposition(has_content);
            let good = entries.iter().rposition(|entry| entry.is_good);
            let pins = entries.iter().enumerate().rev().filter(|(_, entry)| entry.is_pinned);
            let pins: Vec<_> = pins.take(PINS).map(|(at, _)| at).collect();
            for (at, verdict) in verdicts.iter().enumerate() {
                let is_firm = head == Some(at) || good == Some(at) || pins.contains(&at) || entries[at].is_live;
                prop_assert!(!is_firm || verdict.stays(), "{at}: {verdict:?}");
            }
        }

        #[test]
        fn without_pressure_number_and_age_are_kept(entries in entries()) {
            let verdicts = plain(&entries, Limits::default());
            for (at, verdict) in verdicts.iter().enumerate() {
                let is_within = entries.len() - at <= 100 || entries[at].changed > now() - TimeDelta::days(30);
                let is_empty = entries[at].kind == EntryKind::Gap { is_empty: true };
                prop_assert!(!is_within || is_empty || verdict.stays(), "{at}: {verdict:?}");
            }
        }

        #[test]
        fn what_was_judged_once_is_judged_the_same_when_the_others_are_gone(entries in entries(), pressure in pressure()) {
            let verdicts = judge(&entries, None, Limits::default(), pressure, now());
            let rest: Vec<_> = entries.iter().zip(&verdicts).filter(|(_, verdict)| verdict.stays()).map(|(entry, _)| entry.clone()).collect();
            let again = judge(&rest, None, Limits::default(), pressure, now());
            prop_assert!(again.into_iter().all(Verdict::stays));
        }

        #[test]
        fn more_pressure_keeps_no_more(entries in entries()) {
            let stays = |pressure| judge(&entries, None, Limits::default(), pressure, now()).into_iter().map(Verdict::stays).collect::<Vec<_>>();
            let [none, thin, bare] = [Pressure::None, Pressure::Thin, Pressure::Bare].map(stays);
            for at in 0..entries.len() {
                prop_assert!(none[at] >= thin[at] && thin[at] >= bare[at]);
            }
        }
    }
}
