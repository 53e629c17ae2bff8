//! At most one replica leads, and one leads again after it is gone, in every order of events; each defect that
//! is put in breaks one of both rules.

use model::election::{Bounds, Defect, ONE, SOON, check};
use model::explore::Report;
use std::io::Write;

fn checked(bounds: Bounds) -> Report {
    let report = check(bounds);
    // Past the capture of the harness: how much was checked is of interest when it passes.
    writeln!(std::io::stderr(), "election: {report}").expect("stderr is there");
    report
}

#[track_caller]
fn keeps_every_rule(bounds: Bounds) {
    let report = checked(bounds);
    assert!(report.broken.is_empty(), "{report}");
    // A leader that is killed is succeeded.
    assert!(bounds.kills == 0 || report.never.is_empty(), "{report}");
}

#[track_caller]
fn breaks(rule: &str, bounds: Bounds) {
    let report = checked(bounds);
    let mut broken = report.broken.iter();
    assert!(broken.any(|broken| broken.rule == rule), "{report}");
}

#[test]
fn replicas_that_are_killed_and_that_end_in_order() {
    keeps_every_rule(Bounds {
        kills: 1,
        stops: 1,
        ..Bounds::CALM
    });
}

#[test]
fn a_request_that_is_carried_out_late() {
    keeps_every_rule(Bounds {
        delays: 1,
        ..Bounds::CALM
    });
}

#[test]
fn a_replica_that_is_not_run_for_three_seconds() {
    keeps_every_rule(Bounds {
        pauses: 1,
        pause: 3,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "two delays take half a minute"]
fn long_two_requests_that_are_carried_out_late() {
    keeps_every_rule(Bounds {
        delays: 2,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "two delays and a kill take two minutes"]
fn long_two_requests_that_are_carried_out_late_and_a_replica_that_is_killed() {
    keeps_every_rule(Bounds {
        delays: 2,
        kills: 1,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "a delay, a kill and an orderly end take a minute"]
fn long_a_delay_a_kill_and_an_orderly_end() {
    keeps_every_rule(Bounds {
        delays: 1,
        kills: 1,
        stops: 1,
        ..Bounds::CALM
    });
}

/// A leader may believe that it leads for twelve seconds after a renewal: ten until it must not, and two until it
/// looks. Another waits for fifteen.
#[test]
#[ignore = "a delay and a pause take half a minute"]
fn long_a_leader_that_cannot_renew_and_is_not_run_for_three_seconds() {
    keeps_every_rule(Bounds {
        delays: 1,
        pauses: 1,
        pause: 3,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "a delay and a pause take half a minute"]
fn long_two_lead_when_one_that_cannot_renew_is_not_run_for_four_seconds() {
    let bounds = Bounds {
        delays: 1,
        pauses: 1,
        pause: 4,
        ..Bounds::CALM
    };
    breaks(ONE, bounds);
}

#[test]
#[ignore = "three replicas of which one is killed take ten seconds"]
fn long_three_replicas_of_which_one_is_killed() {
    keeps_every_rule(Bounds {
        replicas: 3,
        kills: 1,
        ..Bounds::CALM
    });
}

#[test]
#[ignore = "three replicas and a delay take more than a minute"]
fn long_three_replicas_and_a_delay() {
    keeps_every_rule(Bounds {
        replicas: 3,
        delays: 1,
        ..Bounds::CALM
    });
}

/// No election by a Lease can help that: a process that does not run cannot know.
#[test]
fn two_lead_when_one_is_not_run_for_as_long_as_the_lease_lasts() {
    let bounds = Bounds {
        pauses: 1,
        pause: 15,
        ..Bounds::CALM
    };
    breaks(ONE, bounds);
}

#[test]
fn a_conflict_that_is_ignored_is_found() {
    let bounds = Bounds {
        defect: Some(Defect::IgnoresConflict),
        ..Bounds::CALM
    };
    breaks(ONE, bounds);
}

#[test]
fn a_leader_that_never_gives_up_is_found() {
    let bounds = Bounds {
        delays: 1,
        defect: Some(Defect::NeverGivesUp),
        ..Bounds::CALM
    };
    breaks(ONE, bounds);
}

#[test]
fn a_record_that_counts_as_renewed_whenever_it_is_seen_is_found() {
    let bounds = Bounds {
        kills: 1,
        defect: Some(Defect::SeenIsRenewed),
        ..Bounds::CALM
    };
    breaks(SOON, bounds);
}

#[test]
#[ignore = "two delays take ten seconds"]
fn long_a_leader_that_counts_from_the_answer_is_found() {
    let bounds = Bounds {
        delays: 2,
        defect: Some(Defect::CountsFromAnswer),
        ..Bounds::CALM
    };
    breaks(ONE, bounds);
}
