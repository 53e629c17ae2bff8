//! The state of the recording of each kind, from the metrics. Pure.

use super::samples::Samples;
use crate::table::columns;
use serde::Serialize;

/// The columns of the table.
const HEADER: [&str; 14] = [
    "KIND",
    "SEEN",
    "RECORDED",
    "CHECKPOINT",
    "LAG",
    "REVISIONS",
    "QUIET",
    "HOLES",
    "REPAIRED",
    "LOST",
    "GAPS",
    "BLIND",
    "410",
    "AUDIT",
];

/// The state of the recording of one kind. `seen_through`, `recorded_through` and `checkpoint` are
/// resourceVersions.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct KindStatus {
    kind: String,
    seen_through: f64,
    recorded_through: f64,
    checkpoint: f64,
    lag_seconds: f64,
    recorded: f64,
    quiet: f64,
    holes: f64,
    repaired: f64,
    lost: f64,
    in_gaps: f64,
    blind_intervals: f64,
    expired_watches: f64,
    audit_repairs: f64,
}

impl KindStatus {
    pub(super) fn read(kind: &str, samples: &Samples<'_>) -> Self {
        Self {
            kind: kind.to_owned(),
            seen_through: samples.total_of("revisor_watch_resource_version", kind),
            recorded_through: samples.total_of("revisor_recorded_resource_version", kind),
            checkpoint: samples.total_of("revisor_checkpoint_resource_version", kind),
            lag_seconds: samples.total_of("revisor_lag_seconds", kind),
            recorded: samples.total_of("revisor_revisions_recorded_total", kind),
            quiet: samples.total_of("revisor_quiet_generations_total", kind),
            holes: samples.total_of("revisor_generation_holes_total", kind),
            repaired: samples.total_of("revisor_generations_repaired_total", kind),
            lost: samples.total_of("revisor_generations_lost_total", kind),
            in_gaps: samples.total_of("revisor_gap_generations_total", kind),
            blind_intervals: samples.total_of("revisor_blind_intervals_total", kind),
            expired_watches: samples.total_of("revisor_watch_expired_total", kind),
            audit_repairs: samples.total_of("revisor_audit_repairs_total", kind),
        }
    }

    /// Adds the same kind of another replica. Counters are summed; a place is as far as the replica that has come
    /// furthest says, because what one has recorded is recorded, and so is the lag.
    fn add(&mut self, other: &Self) {
        if other.recorded_through > self.recorded_through {
            self.lag_seconds = other.lag_seconds;
        }
        self.seen_through = self.seen_through.max(other.seen_through);
        self.recorded_through = self.recorded_through.max(other.recorded_through);
        self.checkpoint = self.checkpoint.max(other.checkpoint);
        self.recorded += other.recorded;
        self.quiet += other.quiet;
        self.holes += other.holes;
        self.repaired += other.repaired;
        self.lost += other.lost;
        self.in_gaps += other.in_gaps;
        self.blind_intervals += other.blind_intervals;
        self.expired_watches += other.expired_watches;
        self.audit_repairs += other.audit_repairs;
    }

    /// Generations of the kind that existed and cannot be recorded.
    pub(super) fn lost(&self) -> f64 {
        self.lost
    }

    /// A row of the table, as [`HEADER`] names its cells.
    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.clone(),
            self.seen_through.to_string(),
            self.recorded_through.to_string(),
            self.checkpoint.to_string(),
            format!("{:.1}s", self.lag_seconds),
            self.recorded.to_string(),
            self.quiet.to_string(),
            self.holes.to_string(),
            self.repaired.to_string(),
            self.lost.to_string(),
            self.in_gaps.to_string(),
            self.blind_intervals.to_string(),
            self.expired_watches.to_string(),
            self.audit_repairs.to_string(),
        ]
    }
}

/// The kinds of several replicas, each once.
pub(super) fn merge(all: impl IntoIterator<Item = KindStatus>) -> Vec<KindStatus> {
    let mut merged: Vec<KindStatus> = Vec::new();
    for kind in all {
        match merged.iter_mut().find(|known| known.kind == kind.kind) {
            Some(known) => known.add(&kind),
            None => merged.push(kind),
        }
    }
    merged.sort_by(|a, b| a.kind.cmp(&b.kind));
    merged
}

/// All kinds as a table.
pub(super) fn table(kinds: &[KindStatus]) -> String {
    let header = HEADER.map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(header)
        .chain(kinds.iter().map(KindStatus::cells))
        .collect();
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, kind, kind_reason};
    use std::time::Duration;

    /// Metrics of one kind.
    fn metrics() -> Metrics {
        let metrics = Metrics::new();
        let label = kind("Deployment");
        metrics
            .recorded_resource_version
            .get_or_create(&label)
            .set(70);
        metrics.lag_seconds.get_or_create(&label).set(1.25);
        for (reason, count) in [("Compacted", 2), ("Undecodable", 1)] {
            metrics
                .lost
                .get_or_create(&kind_reason("Deployment", reason))
                .inc_by(count);
        }
        metrics
            .holes
            .get_or_create(&kind_reason("Deployment", "NotSeen"))
            .inc_by(7);
        metrics.record_seconds.observe(Duration::from_secs(1));
        metrics
    }

    #[test]
    fn replicas_are_summed_and_the_furthest_place_counts() {
        let text = metrics().encode();
        let of = || KindStatus::read("Deployment", &Samples::parse(&text));
        let behind = || KindStatus {
            recorded_through: 60.0,
            lag_seconds: 99.0,
            ..of()
        };
        for pair in [[of(), behind()], [behind(), of()]] {
            let merged = merge(pair);
            assert_eq!(merged.len(), 1);
            assert!((merged[0].lost() - 6.0).abs() < 0.1);
            assert!((merged[0].recorded_through - 70.0).abs() < 0.1);
            assert!((merged[0].lag_seconds - 1.25).abs() < 0.1);
        }
    }

    #[test]
    fn what_the_metrics_say_is_printed_by_kind() {
        let text = metrics().encode();
        let samples = Samples::parse(&text);
        assert!(samples.kinds().into_iter().eq(["Deployment"]));
        let of = KindStatus::read("Deployment", &samples);
        assert!((of.lost - 3.0).abs() < 0.1 && (of.recorded_through - 70.0).abs() < 0.1);
        assert!((of.holes - 7.0).abs() < 0.1);
        let text = table(&[of]);
        assert!(text.contains("Deployment   0      70"), "{text}");
        assert!(text.contains("1.2s"), "{text}");
        assert!(text.contains("QUIET   HOLES"), "{text}");
    }
}
