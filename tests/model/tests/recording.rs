//! The protocol of recording keeps its rules in every order of events, and each defect that is put back
//! breaks one.

use model::bounds::Bounds;
use model::check::{Counterexample, check};
use parking_lot::Mutex;
use revisor::mutant::{self, Mutant};
use std::io::Write;

/// A defect is switched on for the whole process, so one check runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Checks with a defect put back, or none. Returns the shortest way to a broken rule.
fn checked(mutant: Option<Mutant>, bounds: Bounds) -> Option<Counterexample> {
    let _alone = ALONE.lock();
    mutant::set(mutant);
    let report = check(bounds);
    mutant::set(None);
    let name = mutant.map_or_else(|| "no defect".to_owned(), |mutant| format!("{mutant:?}"));
    // Past the capture of the harness: how much was checked is of interest when it passes.
    writeln!(std::io::stderr(), "{name}: {report}").expect("stderr is there");
    report.broken.into_iter().next()
}

#[track_caller]
fn keeps_every_rule(bounds: Bounds) {
    let found = checked(None, bounds);
    assert!(found.is_none(), "{}", found.expect("it is there"));
}

#[track_caller]
fn breaks(rule: &str, mutant: Mutant, bounds: Bounds) {
    let found = checked(Some(mutant), bounds).expect("a rule is broken");
    assert!(found.rule.contains(rule), "{found}");
}

#[test]
fn one_replica_that_is_killed() {
    keeps_every_rule(Bounds {
        kills: 1,
        compactions: 1,
        restarts: 1,
        ..Bounds::CALM
    });
}

#[test]
fn one_replica_whose_lists_are_stale_and_whose_replays_are_cut() {
    keeps_every_rule(Bounds {
        kills: 1,
        restarts: 1,
        stale: 1,
        cuts: 1,
        checks: 1,
        ..Bounds::CALM
    });
}

#[test]
fn one_replica_whose_watch_loses_an_event() {
    keeps_every_rule(Bounds {
        writes: 3,
        lost: 1,
        audits: 1,
        ..Bounds::CALM
    });
}

#[test]
fn one_replica_that_audits() {
    keeps_every_rule(Bounds {
        compactions: 1,
        restarts: 1,
        audits: 1,
        ..Bounds::CALM
    });
}

#[test]
fn places_that_are_far_apart() {
    keeps_every_rule(Bounds {
        stride: 10,
        kills: 1,
        restarts: 1,
        ..Bounds::CALM
    });
}

#[test]
fn two_replicas() {
    keeps_every_rule(Bounds {
        replicas: 2,
        compactions: 1,
        ..Bounds::CALM
    });
}

#[test]
fn a_first_start() {
    keeps_every_rule(Bounds {
        first_start: true,
        compactions: 1,
        ..Bounds::CALM
    });
}

#[test]
fn a_lost_checkpoint() {
    keeps_every_rule(Bounds {
        compactions: 1,
        losses: 1,
        ..Bounds::CALM
    });
}

#[test]
fn a_lost_checkpoint_and_a_kill() {
    keeps_every_rule(Bounds {
        kills: 1,
        compactions: 1,
        losses: 1,
        ..Bounds::CALM
    });
}

#[test]
fn a_start_without_a_beginning_is_found() {
    let bounds = Bounds {
        first_start: true,
        ..Bounds::CALM
    };
    breaks("acknowledges", Mutant::NoBeginning, bounds);
}

#[test]
#[ignore = "places that are far apart and cannot be watched take a quarter of a minute"]
fn long_first_start() {
    keeps_every_rule(Bounds {
        first_start: true,
        stride: 10,
        compactions: 1,
        restarts: 1,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "three writes take half a minute"]
fn long_lost_checkpoint() {
    keeps_every_rule(Bounds {
        writes: 3,
        compactions: 1,
        losses: 1,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "three writes with every fault of one replica take minutes"]
fn long_one_replica() {
    keeps_every_rule(Bounds {
        writes: 3,
        kills: 1,
        compactions: 1,
        restarts: 1,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "samples of places that are far apart take a minute"]
fn long_places_that_are_far_apart() {
    keeps_every_rule(Bounds {
        stride: 10,
        kills: 1,
        compactions: 1,
        restarts: 1,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "a compaction between a lost event and the audit takes half a minute"]
fn long_lost_event() {
    keeps_every_rule(Bounds {
        writes: 3,
        compactions: 1,
        lost: 1,
        audits: 1,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "two replicas of which one is killed, and a compaction, take more than a minute"]
fn long_two_replicas() {
    keeps_every_rule(Bounds {
        replicas: 2,
        kills: 1,
        compactions: 1,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "two replicas that both read back what is missing take seven minutes"]
fn long_two_replicas_that_read_back() {
    keeps_every_rule(Bounds {
        replicas: 2,
        compactions: 1,
        restarts: 1,
        ..Bounds::CALM
    });
}

/// What is on its way holds the checkpoint back, and its time is that of a later place.
#[test]
fn a_checkpoint_that_is_dated_too_young_is_found() {
    let bounds = Bounds {
        restarts: 1,
        ..Bounds::CALM
    };
    breaks("dated before", Mutant::CheckpointTooYoung, bounds);
}

/// A single stale list counts as a restored etcd.
#[test]
fn a_stale_list_that_is_believed_is_found() {
    let bounds = Bounds {
        restarts: 1,
        stale: 1,
        ..Bounds::CALM
    };
    breaks("restored", Mutant::StaleListBelieved, bounds);
}

/// A workload whose creation the watch has lost begins where it is seen first.
#[test]
fn a_lost_creation_that_is_ignored_is_found() {
    let bounds = Bounds {
        lost: 1,
        audits: 1,
        ..Bounds::CALM
    };
    breaks("at rest", Mutant::LostCreationIgnored, bounds);
}

#[test]
fn a_lost_last_generation_that_is_ignored_is_found() {
    let bounds = Bounds {
        lost: 1,
        audits: 1,
        ..Bounds::CALM
    };
    breaks("at rest", Mutant::LostLastIgnored, bounds);
}

#[test]
fn a_checkpoint_that_is_ahead_is_found() {
    breaks("acknowledges", Mutant::CheckpointAhead, Bounds::CALM);
}

#[test]
fn a_hole_that_is_taken_for_quiet_is_found() {
    breaks("acknowledges", Mutant::HoleTakenForQuiet, Bounds::CALM);
}

#[test]
fn an_object_that_a_sample_has_shown_is_not_lost_in_silence() {
    keeps_every_rule(Bounds {
        compactions: 1,
        restarts: 1,
        samples_split: true,
        ..Bounds::CALM
    });
}

#[test]
fn a_list_of_an_older_place_does_not_date_it_too_young() {
    keeps_every_rule(Bounds {
        lagging: 1,
        seconds: 10,
        ..Bounds::CALM
    });
}

#[test]
fn a_gap_over_several_places_holds_the_checkpoint_back() {
    keeps_every_rule(Bounds {
        stride: 10,
        compactions: 1,
        restarts: 1,
        ..Bounds::CALM
    });
}

#[test]
fn the_end_of_a_workload_that_an_expired_replay_has_shown_is_told() {
    keeps_every_rule(Bounds {
        writes: 3,
        restarts: 1,
        ends_at_once: true,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "known: a lost creation that the checkpoint has passed, and a kill before the next audit: two faults at once"]
fn known_killed_before_a_lost_creation_is_noticed() {
    keeps_every_rule(Bounds {
        kills: 1,
        lost: 1,
        audits: 1,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "known: a lost creation, and a compaction before it is noticed: two faults at once"]
fn known_lost_creation_in_front_of_a_blind_interval() {
    keeps_every_rule(Bounds {
        compactions: 1,
        restarts: 1,
        lost: 1,
        audits: 1,
        ..Bounds::CALM
    });
}

#[test]
fn a_first_start_that_is_killed_begins_anew() {
    keeps_every_rule(Bounds {
        first_start: true,
        kills: 1,
        ..Bounds::CALM
    });
}
