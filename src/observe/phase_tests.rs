//! Phases by table: pods, what the workload says, what supersedes.

use super::*;
use crate::observe::pod::Pod;
use crate::observe::pod::tests::pruned;
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000, 0).expect("a time")
}

fn pod(status: &Value, node: Option<&str>, deleting: bool) -> Pod {
    let deleted = deleting.then_some("2026-01-02T03:04:05Z");
    pruned(
        json!({"metadata": {"namespace": "n", "deletionTimestamp": deleted}, "spec": {"nodeName": node}, "status": status}),
    )
}

/// Pods by a letter each: ready, starting, failing, unscheduled, succeeded, ended, going.
fn pods(letters: &str) -> Vec<Pod> {
    let one = |letter| match letter {
        'r' => pod(
            &json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            Some("a"),
            false,
        ),
        's' => pod(&json!({"phase": "Running"}), Some("a"), false),
        'f' => pod(
            &json!({"phase": "Running", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            Some("a"),
            false,
        ),
        'u' => {
            let why = "0/4 nodes are available: 2 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint. preemption: 0/4.";
            pod(
                &json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "message": why}]}),
                None,
                false,
            )
        }
        'S' => pod(&json!({"phase": "Succeeded"}), Some("a"), false),
        'E' => pod(
            &json!({"phase": "Failed", "message": "node was low on memory"}),
            Some("a"),
            false,
        ),
        _ => pod(
            &json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            Some("a"),
            true,
        ),
    };
    letters.chars().map(one).collect()
}

struct Case {
    standing: Standing,
    lifecycle: Lifecycle,
    expected: Option<i64>,
    ruling: Ruling,
    words: Option<Words>,
    others: Others,
    deadline: Option<i64>,
    trusted: bool,
    age: i64,
    was_ready: bool,
    before: Option<Phase>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            standing: Standing::Newest,
            lifecycle: Lifecycle::Live,
            expected: Some(3),
            ruling: Ruling::Silent,
            words: None,
            others: Others::default(),
            deadline: None,
            trusted: true,
            age: 5,
            was_ready: false,
            before: None,
        }
    }
}

fn decide(case: &Case, letters: &str) -> Finding {
    let all = pods(letters);
    let all: Vec<_> = all.iter().collect();
    phase(&Facts {
        standing: case.standing,
        lifecycle: case.lifecycle,
        pods: &all,
        expected: case.expected,
        ruling: &case.ruling,
        words: case.words.as_ref(),
        others: case.others,
        deadline: case.deadline.map(TimeDelta::minutes),
        trusted: case.trusted,
        changed: now() - TimeDelta::seconds(case.age),
        was_ready: case.was_ready,
        ready_before: i32::from(case.was_ready),
        has_failed: case.before == Some(Phase::Failed),
        before: case.before.map(|phase| Finding::new(phase, "Before")),
        now: now(),
    })
}

fn rule(phase: Phase) -> Ruling {
    Ruling::Match {
        phase,
        reason: None,
        message: Some("the workload says so".into()),
        since: None,
    }
}

/// Pods of the newest Revision: pods, expected, whether all were ready before, phase, message.
const NEWEST: &[(&str, Option<i64>, bool, Phase, &str)] = &[
    ("", Some(3), false, Phase::Creating, "no pods yet"),
    (
        "uuu",
        Some(3),
        false,
        Phase::Pending,
        "0/3 pods scheduled: insufficient nvidia.com/gpu",
    ),
    (
        "rsu",
        Some(3),
        false,
        Phase::Pending,
        "2/3 pods scheduled: insufficient nvidia.com/gpu",
    ),
    ("s", Some(3), false, Phase::Pending, "1/3 pods made"),
    ("rss", Some(3), false, Phase::Initializing, "1/3 pods ready"),
    ("rrr", Some(3), false, Phase::Running, "3/3 pods ready"),
    ("rrrs", Some(3), false, Phase::Running, "3/3 pods ready"),
    ("rrr", None, false, Phase::Running, "3/1 pods ready"),
    ("rrs", None, false, Phase::Initializing, "2/3 pods ready"),
    ("rrs", Some(3), true, Phase::Degraded, "2/3 pods ready"),
    (
        "rru",
        Some(3),
        true,
        Phase::Degraded,
        "2/3 pods scheduled: insufficient nvidia.com/gpu",
    ),
    ("sss", Some(3), true, Phase::Degraded, "0/3 pods ready"),
    ("ss", None, true, Phase::Degraded, "0/2 pods ready"),
    ("", Some(3), true, Phase::Degraded, "0/3 pods made"),
    (
        "E",
        Some(1),
        true,
        Phase::Degraded,
        "node was low on memory",
    ),
    (
        "rrrf",
        Some(3),
        true,
        Phase::Running,
        "3/3 pods ready; another one fails: container c: CrashLoopBackOff",
    ),
    (
        "fss",
        Some(3),
        false,
        Phase::Failed,
        "container c: CrashLoopBackOff",
    ),
    (
        "frr",
        Some(3),
        false,
        Phase::Degraded,
        "container c: CrashLoopBackOff",
    ),
    ("rrrE", Some(3), true, Phase::Running, "3/3 pods ready"),
    ("E", Some(1), false, Phase::Failed, "node was low on memory"),
    ("SSS", Some(3), true, Phase::Completed, ""),
    ("ggg", Some(3), false, Phase::Creating, "no pods yet"),
];

#[test]
fn pods_of_the_newest_come_first() {
    for &(letters, expected, was_ready, phase, message) in NEWEST {
        let found = decide(
            &Case {
                expected,
                was_ready,
                ..Case::default()
            },
            letters,
        );
        assert_eq!(
            (found.phase, found.message.as_deref().unwrap_or_default()),
            (phase, message),
            "{letters}"
        );
    }
}

#[test]
fn the_workload_says_what_pods_cannot() {
    for (letters, ruled, expected) in [
        ("", Phase::Running, Phase::Running),
        ("", Phase::Failed, Phase::Failed),
        ("", Phase::Creating, Phase::Creating),
        ("", Phase::Stopped, Phase::Stopped),
        ("rrr", Phase::Stopped, Phase::Stopping),
        ("rrr", Phase::Failed, Phase::Failed),
        ("uuu", Phase::Failed, Phase::Failed),
        ("uuu", Phase::Running, Phase::Pending),
        ("fff", Phase::Updating, Phase::Failed),
        ("rss", Phase::Updating, Phase::Updating),
        ("rrr", Phase::Updating, Phase::Running),
        ("rrr", Phase::Degraded, Phase::Degraded),
        ("sss", Phase::Degraded, Phase::Initializing),
    ] {
        let found = decide(
            &Case {
                ruling: rule(ruled),
                ..Case::default()
            },
            letters,
        );
        assert_eq!(found.phase, expected, "{letters} {ruled}");
    }
}

#[test]
fn zero_replicas_are_stopped() {
    let case = Case {
        expected: Some(0),
        ..Case::default()
    };
    assert_eq!(
        decide(&case, ""),
        Finding::new(Phase::Stopped, "ScaledToZero")
    );
    assert_eq!(
        decide(&case, "gg").phase,
        Phase::Stopping,
        "those are going"
    );
    assert_eq!(decide(&case, "rr").phase, Phase::Stopping);
}

#[test]
fn a_status_that_may_be_of_the_generation_before_is_not_believed_at_once() {
    let since = |seconds| Ruling::Match {
        phase: Phase::Failed,
        reason: Some("X".into()),
        message: None,
        since: Some(now() - TimeDelta::seconds(seconds)),
    };
    let case = |ruling, age, trusted| Case {
        ruling,
        trusted,
        age,
        ..Case::default()
    };
    assert_eq!(
        decide(&case(since(9), 5, false), "").phase,
        Phase::Creating,
        "it failed before the change"
    );
    assert_eq!(decide(&case(since(9), 99, false), "").phase, Phase::Failed);
    assert_eq!(decide(&case(since(9), 5, true), "").phase, Phase::Failed);
    assert_eq!(
        decide(&case(rule(Phase::Running), 5, false), "").phase,
        Phase::Creating
    );
    assert_eq!(
        decide(&case(rule(Phase::Running), 31, false), "").phase,
        Phase::Running
    );
    assert_eq!(
        decide(&case(rule(Phase::Stopped), 5, false), "")
            .reason
            .as_deref(),
        Some("StoppedByUser")
    );
}

#[test]
fn what_cannot_be_read_is_unknown_unless_pods_tell() {
    let case = || Case {
        ruling: Ruling::Unreadable("status.conditions is not a list".into()),
        ..Case::default()
    };
    let found = decide(&case(), "");
    assert_eq!(
        (found.phase, found.message.as_deref()),
        (Phase::Unknown, Some("status.conditions is not a list"))
    );
    assert_eq!(decide(&case(), "rrr").phase, Phase::Running);
}

#[test]
fn what_is_superseded_serves_then_goes_and_a_failure_stays() {
    let case = |before, replaced| {
        let standing = if replaced {
            Standing::Replaced
        } else {
            Standing::Superseded
        };
        Case {
            standing,
            expected: None,
            before,
            ..Case::default()
        }
    };
    for (letters, before, replaced, expected) in [
        ("rr", Some(Phase::Running), false, Phase::Running),
        ("rg", Some(Phase::Running), false, Phase::Running),
        ("rr", Some(Phase::Running), true, Phase::Terminating),
        ("gg", Some(Phase::Running), false, Phase::Terminating),
        ("ss", Some(Phase::Initializing), false, Phase::Terminating),
        ("", Some(Phase::Running), true, Phase::Stopped),
        ("E", Some(Phase::Running), true, Phase::Stopped),
        ("", None, false, Phase::Stopped),
        ("ff", Some(Phase::Failed), false, Phase::Failed),
        ("", Some(Phase::Failed), true, Phase::Failed),
        ("s", Some(Phase::Failed), true, Phase::Failed),
        ("rr", Some(Phase::Failed), false, Phase::Running),
        ("rr", Some(Phase::Failed), true, Phase::Terminating),
    ] {
        let found = decide(&case(before, replaced), letters);
        assert_eq!(found.phase, expected, "{letters} {before:?} {replaced}");
    }
    assert_eq!(
        decide(&case(None, true), "").reason.as_deref(),
        Some("Superseded")
    );
}

#[test]
fn deletion_has_its_own_phases() {
    let case = |lifecycle, before| Case {
        lifecycle,
        before,
        ..Case::default()
    };
    assert_eq!(
        decide(&case(Lifecycle::Deleting, None), "rrr").phase,
        Phase::Deleting
    );
    assert_eq!(
        decide(&case(Lifecycle::Deleted, None), "rrr").phase,
        Phase::Terminating
    );
    assert_eq!(
        decide(&case(Lifecycle::Deleted, None), ""),
        Finding::new(Phase::Stopped, "WorkloadDeleted")
    );
    assert_eq!(
        decide(&case(Lifecycle::Deleted, Some(Phase::Failed)), "").phase,
        Phase::Failed
    );
}

#[test]
fn what_serves_runs_whatever_is_newer() {
    let case = || Case {
        standing: Standing::Serving,
        expected: None,
        ..Case::default()
    };
    let found = decide(&case(), "rr");
    assert_eq!(
        (found.phase, found.reason.as_deref()),
        (Phase::Running, Some("ServesTraffic"))
    );
    assert_eq!(decide(&case(), "gg").phase, Phase::Terminating);
    let paused = |serve| Case {
        ruling: rule(Phase::Updating),
        others: Others {
            are_there: true,
            serve,
        },
        ..Case::default()
    };
    assert_eq!(decide(&paused(true), "rrr").phase, Phase::Updating);
    assert_eq!(decide(&paused(false), "rrr").phase, Phase::Running);
}

#[test]
fn zero_replicas_are_stopped_whatever_the_workload_says() {
    for ruled in [Phase::Running, Phase::Failed, Phase::Updating] {
        let case = Case {
            expected: Some(0),
            ruling: rule(ruled),
            ..Case::default()
        };
        assert_eq!(decide(&case, "").phase, Phase::Stopped, "{ruled}");
        assert_eq!(decide(&case, "rr").phase, Phase::Stopping, "{ruled}");
    }
    let elastic = Case {
        expected: None,
        ruling: rule(Phase::Running),
        ..Case::default()
    };
    assert_eq!(decide(&elastic, "").phase, Phase::Running);
}

#[test]
fn readiness_is_not_that_of_other_pods() {
    let case = |expected| Case {
        expected,
        ruling: rule(Phase::Running),
        others: Others {
            are_there: true,
            serve: false,
        },
        ..Case::default()
    };
    assert_eq!(decide(&case(Some(3)), "").phase, Phase::Creating);
    assert_eq!(decide(&case(None), "").phase, Phase::Running);
}

#[test]
fn a_rollout_without_progress_fails_and_may_still_come_through() {
    let case = |age, was_ready| Case {
        deadline: Some(10),
        age,
        was_ready,
        ..Case::default()
    };
    assert_eq!(decide(&case(599, false), "uuu").phase, Phase::Pending);
    let failed = decide(&case(600, false), "uuu");
    assert_eq!(
        (failed.phase, failed.reason.as_deref()),
        (Phase::Failed, Some("ProgressDeadlineExceeded"))
    );
    assert_eq!(
        failed.message.as_deref(),
        Some("0/3 pods scheduled: insufficient nvidia.com/gpu; no progress for 10 minutes")
    );
    assert_eq!(decide(&case(9_000, false), "rrr").phase, Phase::Running);
    assert_eq!(decide(&case(9_000, true), "sss").phase, Phase::Degraded);
    let paused = Case {
        ruling: rule(Phase::Updating),
        ..case(9_000, false)
    };
    assert_eq!(decide(&paused, "s").phase, Phase::Updating);
    let unlimited = Case {
        age: 9_000,
        ..Case::default()
    };
    assert_eq!(decide(&unlimited, "uuu").phase, Phase::Pending);
}

#[test]
fn what_comes_back_resumes() {
    let case = |before| Case {
        was_ready: true,
        before: Some(before),
        ..Case::default()
    };
    for letters in ["", "uuu", "rss"] {
        assert_eq!(
            decide(&case(Phase::Stopped), letters).phase,
            Phase::Resuming,
            "{letters}"
        );
        assert_eq!(
            decide(&case(Phase::Running), letters).phase,
            Phase::Degraded,
            "{letters}"
        );
    }
}

#[test]
fn where_there_are_no_pods_the_workload_has_the_word() {
    let case = |trusted| Case {
        words: Some(Words {
            reason: "ReconcileError".into(),
            message: Some("field is immutable".into()),
            since: None,
        }),
        trusted,
        ..Case::default()
    };
    let found = decide(&case(true), "");
    assert_eq!(
        (
            found.phase,
            found.reason.as_deref(),
            found.message.as_deref()
        ),
        (
            Phase::Creating,
            Some("ReconcileError"),
            Some("field is immutable")
        )
    );
    assert_eq!(decide(&case(false), "").reason.as_deref(), Some("NoPods"));
    assert_eq!(decide(&case(true), "uuu").phase, Phase::Pending);
}

#[test]
fn an_abort_keeps_the_cause_that_came_before_it() {
    let cause = Finding::new(Phase::Failed, counts::CONTAINERS_FAILING).because("ErrImagePull");
    let all: Vec<Pod> = Vec::new();
    let all: Vec<_> = all.iter().collect();
    let ruling = rule(Phase::Failed);
    let facts = |before: &Finding| {
        let before = Some(before.clone());
        phase(&Facts {
            standing: Standing::Newest,
            lifecycle: Lifecycle::Live,
            pods: &all,
            expected: Some(3),
            ruling: &ruling,
            words: None,
            others: Others::default(),
            deadline: None,
            trusted: true,
            changed: now(),
            was_ready: false,
            ready_before: 0,
            has_failed: true,
            before,
            now: now(),
        })
    };
    let aborted = facts(&cause);
    assert_eq!(aborted.reason.as_deref(), Some("ContainersFailing"));
    assert_eq!(
        aborted.message.as_deref(),
        Some("ErrImagePull (afterwards: the workload says so)")
    );
    assert_eq!(facts(&aborted), aborted, "it is said once");
}
