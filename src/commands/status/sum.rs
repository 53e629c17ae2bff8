//! The states of all replicas as one. Pure.

use super::kinds::{self, KindStatus};
use super::replica::{self, Hold, Replica};
use crate::serve::tls::CertificateStatus;
use crate::table::columns;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use std::fmt::Write;

/// The columns of the table of replicas.
const HEADER: [&str; 7] = [
    "REPLICA",
    "VERSION",
    "ROLE",
    "READY",
    "QUEUED",
    "HELD",
    "CERTIFICATE",
];

/// The answers of one replica.
pub(super) struct ReplicaState {
    pub(super) name: String,
    /// The answer to a probe, or why there is none.
    pub(super) ready: String,
    pub(super) etcd_rewinds: f64,
    pub(super) checkpoint_failures: f64,
    pub(super) kinds: Vec<KindStatus>,
    /// None when it could not be asked.
    pub(super) replica: Option<Replica>,
}

impl ReplicaState {
    /// A replica that did not answer.
    pub(super) fn unreachable(name: &str, why: String) -> Self {
        Self {
            name: name.to_owned(),
            ready: why,
            etcd_rewinds: 0.0,
            checkpoint_failures: 0.0,
            kinds: Vec::new(),
            replica: None,
        }
    }
}

/// One replica, as it is printed.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct ReplicaRow {
    name: String,
    reachable: bool,
    ready: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    leads: bool,
    queued_revisions: u64,
    queued_bytes: i64,
    holds: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateStatus>,
}

impl ReplicaRow {
    fn new(state: &ReplicaState) -> Self {
        let of = state.replica.as_ref();
        Self {
            name: state.name.clone(),
            reachable: of.is_some(),
            ready: state.ready.clone(),
            version: of.map(|of| of.version.clone()),
            leads: of.is_some_and(|of| of.leads),
            queued_revisions: of.map_or(0, |of| of.queue.writes),
            queued_bytes: of.map_or(0, |of| of.queue.bytes),
            holds: of.map_or(0, |of| of.holds.len()),
            certificate: of.and_then(|of| of.certificate),
        }
    }

    /// A row of the table, as [`HEADER`] names its cells.
    fn cells(&self) -> Vec<String> {
        let role = match (self.reachable, self.leads) {
            (false, _) => "?",
            (true, true) => "leads",
            (true, false) => "follows",
        };
        let certificate = self.certificate.map_or_else(
            || "-".to_owned(),
            |one| one.not_after.to_rfc3339_opts(SecondsFormat::Secs, true),
        );
        vec![
            self.name.clone(),
            self.version.clone().unwrap_or_else(|| "?".to_owned()),
            role.to_owned(),
            if self.ready == "ok" { "yes" } else { "no" }.to_owned(),
            self.queued_revisions.to_string(),
            self.holds.to_string(),
            certificate,
        ]
    }
}

/// All that is printed.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// `ok`, or what the first replica says that is not ready.
    ready: String,
    replicas: Vec<ReplicaRow>,
    queued_revisions: u64,
    queued_bytes: i64,
    holds: Vec<Hold>,
    /// Revisions that are stored and forged, as the replica counts that sees the most of them.
    forged: i64,
    etcd_rewinds: f64,
    checkpoint_failures: f64,
    kinds: Vec<KindStatus>,
}

impl Status {
    /// Sums the states of all replicas.
    pub(super) fn new(states: Vec<ReplicaState>) -> Self {
        let replicas: Vec<_> = states.iter().map(ReplicaRow::new).collect();
        let unready = replicas.iter().find(|one| one.ready != "ok");
        Self {
            ready: unready.map_or_else(
                || "ok".to_owned(),
                |one| format!("{}: {}", one.name, one.ready),
            ),
            queued_revisions: replicas.iter().map(|one| one.queued_revisions).sum(),
            queued_bytes: replicas.iter().map(|one| one.queued_bytes).sum(),
            etcd_rewinds: states.iter().map(|one| one.etcd_rewinds).sum(),
            checkpoint_failures: states.iter().map(|one| one.checkpoint_failures).sum(),
            forged: states
                .iter()
                .filter_map(|one| one.replica.as_ref())
                .map(|of| of.forged)
                .max()
                .unwrap_or_default(),
            replicas,
            holds: replica::merge(
                states
                    .iter()
                    .filter_map(|one| one.replica.as_ref())
                    .flat_map(|of| of.holds.clone()),
            ),
            kinds: kinds::merge(states.into_iter().flat_map(|one| one.kinds)),
        }
    }

    /// Everything for which somebody has to do something: one sentence for each.
    pub(super) fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        let lost: f64 = self.kinds.iter().map(KindStatus::lost).sum();
        if lost > 0.0 {
            troubles.push(format!("{lost} generations are lost"));
        }
        if !self.holds.is_empty() {
            troubles.push(format!("{} holds", self.holds.len()));
        }
        let unreachable = self.replicas.iter().filter(|one| !one.reachable);
        troubles.extend(unreachable.map(|one| format!("{}: {}", one.name, one.ready)));
        troubles
    }
}

/// The summary, the replicas, the holds when there are any, and the kinds.
pub(super) fn tables(status: &Status, now: DateTime<Utc>) -> String {
    let header = HEADER.map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(header)
        .chain(status.replicas.iter().map(ReplicaRow::cells))
        .collect();
    let parts = [
        summary(status, now),
        columns(&rows),
        replica::table(&status.holds),
        kinds::table(&status.kinds),
    ];
    let filled: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    filled.join("\n")
}

fn summary(status: &Status, now: DateTime<Utc>) -> String {
    let mut text = format!(
        "ready: {}\nreplicas: {}\nqueue: {} Revisions, {} bytes\nholds: {}\netcd rewinds: {}\n\
         checkpoint failures: {}\n",
        status.ready,
        status.replicas.len(),
        status.queued_revisions,
        status.queued_bytes,
        status.holds.len(),
        status.etcd_rewinds,
        status.checkpoint_failures,
    );
    if status.forged > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "warning: {} Revisions are forged and not served; Events (RevisionForged) name them",
            status.forged
        );
    }
    for replica in &status.replicas {
        let complaint = replica.certificate.and_then(|one| one.complaint(now));
        if let Some(complaint) = complaint {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "warning: {}: {complaint}", replica.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::samples::Samples;
    use super::*;
    use crate::metrics::{Metrics, kind, kind_reason};
    use serde_json::{Value, json};

    fn state(name: &str, leads: bool, holds: &Value, lost: u64) -> ReplicaState {
        let forged = i64::from(name == "forged");
        let body = json!({
            "version": "1.2.3",
            "identity": name,
            "leads": leads,
            "ready": true,
            "waitingFor": [],
            "queue": {"writes": 41, "bytes": 2048},
            "holds": holds,
            "forged": forged,
            "certificate": {"origin": "Secret", "notAfter": "2026-03-01T00:00:00Z"},
        });
        let metrics = Metrics::new();
        metrics.recorded.get_or_create(&kind("Deployment")).inc();
        let reason = kind_reason("Deployment", "Compacted");
        metrics.lost.get_or_create(&reason).inc_by(lost);
        let text = metrics.encode();
        ReplicaState {
            name: name.to_owned(),
            ready: "ok".to_owned(),
            etcd_rewinds: 0.0,
            checkpoint_failures: 1.0,
            kinds: vec![KindStatus::read("Deployment", &Samples::parse(&text))],
            replica: serde_json::from_value(body).expect("a replica"),
        }
    }

    fn at(day: u32) -> DateTime<Utc> {
        format!("2026-02-{day:02}T00:00:00Z")
            .parse()
            .expect("a time")
    }

    #[test]
    fn two_replicas_are_one_status() {
        let hold = json!([{
            "reason": "QuotaExceeded",
            "namespace": "team-a",
            "since": "2026-03-01T10:00:00.5Z",
        }]);
        let status = Status::new(vec![
            state("a", true, &hold, 0),
            state("b", false, &hold, 0),
        ]);
        let text = tables(&status, at(1));
        let expected = "ready: ok\n\
                        replicas: 2\n\
                        queue: 82 Revisions, 4096 bytes\n\
                        holds: 1\n\
                        etcd rewinds: 0\n\
                        checkpoint failures: 2\n\
                        \n\
                        REPLICA   VERSION   ROLE      READY   QUEUED   HELD   CERTIFICATE\n\
                        a         1.2.3     leads     yes     41       1      2026-03-01T00:00:00Z\n\
                        b         1.2.3     follows   yes     41       1      2026-03-01T00:00:00Z\n\
                        \n\
                        HELD            NAMESPACE   WORKLOAD   SINCE\n\
                        QuotaExceeded   team-a      *          2026-03-01T10:00:00Z\n\
                        \n\
                        KIND ";
        assert!(text.starts_with(expected), "{text}");
        let printed = serde_json::to_value(&status).expect("JSON");
        assert_eq!(printed["holds"][0]["reason"], "QuotaExceeded");
        assert_eq!(printed["replicas"][1]["certificate"]["origin"], "Secret");
        assert_eq!(printed["kinds"][0]["recorded"], 2.0);
        assert_eq!(status.troubles(), ["1 holds"]);
    }

    #[test]
    fn without_holds_there_is_no_table_of_them() {
        let status = Status::new(vec![state("a", true, &json!([]), 0)]);
        let text = tables(&status, at(1));
        assert!(
            text.contains("holds: 0\n") && !text.contains("NAMESPACE"),
            "{text}"
        );
        assert!(!text.contains("warning"), "{text}");
        assert!(status.troubles().is_empty());
    }

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning_and_no_trouble() {
        let status = Status::new(vec![state("a", true, &json!([]), 0)]);
        let text = tables(&status, at(25));
        assert!(
            text.contains("warning: a: the certificate ends within a week, at 2026-03-01"),
            "{text}"
        );
        assert!(status.troubles().is_empty());
    }

    #[test]
    fn forged_revisions_are_a_warning() {
        let status = Status::new(vec![state("forged", true, &json!([]), 0)]);
        let text = tables(&status, at(1));
        assert!(
            text.contains("warning: 1 Revisions are forged and not served"),
            "{text}"
        );
        assert!(status.troubles().is_empty());
    }

    #[test]
    fn lost_generations_and_silent_replicas_are_troubles() {
        let silent = ReplicaState::unreachable("b", "no route".to_owned());
        let status = Status::new(vec![state("a", true, &json!([]), 3), silent]);
        assert_eq!(status.troubles(), ["3 generations are lost", "b: no route"]);
        let text = tables(&status, at(1));
        assert!(
            text.starts_with("ready: b: no route\nreplicas: 2\n"),
            "{text}"
        );
        assert!(text.contains("b         ?         ?"), "{text}");
    }
}
