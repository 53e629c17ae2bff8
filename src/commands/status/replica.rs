//! The state of one replica, as `/status` of its admin port tells it. Pure.

use crate::serve::tls::CertificateStatus;
use crate::table::columns;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The columns of the table of holds.
const HEADER: [&str; 4] = ["HELD", "NAMESPACE", "WORKLOAD", "SINCE"];
/// The cell of everything; no namespace has this name.
const ALL: &str = "*";

/// The body of `/status`; its fields that are not printed are left out.
#[derive(Deserialize, Debug)]
pub(super) struct Replica {
    pub(super) version: String,
    pub(super) identity: Option<String>,
    pub(super) leads: bool,
    pub(super) queue: QueueSize,
    pub(super) holds: Vec<Hold>,
    #[serde(default)]
    pub(super) forged: i64,
    #[serde(default)]
    pub(super) certificate: Option<CertificateStatus>,
}

/// The writes that wait or are under way.
#[derive(Deserialize, Debug)]
pub(super) struct QueueSize {
    pub(super) writes: u64,
    pub(super) bytes: i64,
}

/// A reason for which writing is held, and the writes that it holds: those of one workload or of one
/// namespace, or all.
#[derive(Deserialize, Serialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hold {
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<Uuid>,
    since: DateTime<Utc>,
}

impl Hold {
    /// Whether two replicas tell of the same writes.
    fn is_same(&self, other: &Self) -> bool {
        (&self.reason, &self.namespace, self.workload)
            == (&other.reason, &other.namespace, other.workload)
    }

    /// A row of the table, as [`HEADER`] names its cells.
    fn cells(&self) -> Vec<String> {
        let workload = self.workload.map(|uid| uid.to_string());
        // A hold of one workload need not name the namespace.
        let no_namespace = if workload.is_some() { "" } else { ALL };
        vec![
            self.reason.clone(),
            self.namespace
                .clone()
                .unwrap_or_else(|| no_namespace.to_owned()),
            workload.unwrap_or_else(|| ALL.to_owned()),
            self.since.to_rfc3339_opts(SecondsFormat::Secs, true),
        ]
    }
}

/// The holds of several replicas, each once, with its earliest beginning.
pub(super) fn merge(all: impl IntoIterator<Item = Hold>) -> Vec<Hold> {
    let mut merged: Vec<Hold> = Vec::new();
    for hold in all {
        match merged.iter_mut().find(|known| known.is_same(&hold)) {
            Some(known) => known.since = known.since.min(hold.since),
            None => merged.push(hold),
        }
    }
    merged
}

/// All holds as a table; nothing without holds.
pub(super) fn table(holds: &[Hold]) -> String {
    if holds.is_empty() {
        return String::new();
    }
    let header = HEADER.map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(header)
        .chain(holds.iter().map(Hold::cells))
        .collect();
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::queue::Held;
    use crate::serve::status::{self, ReplicaStatus};
    use crate::serve::tls::Origin;

    const UID: Uuid = Uuid::from_u128(7);

    fn held(reason: &'static str, namespace: Option<&str>, workload: Option<Uuid>) -> Held {
        Held {
            reason,
            namespace: namespace.map(str::to_owned),
            workload,
            since: DateTime::UNIX_EPOCH,
        }
    }

    /// The replica that a body of `/status` with these holds tells of.
    fn told(holds: Vec<Held>) -> Replica {
        let status = ReplicaStatus {
            version: "1.2.3",
            identity: Some("replica-0".to_owned()),
            leads: true,
            ready: true,
            waiting_for: Vec::new(),
            queue: status::QueueSize {
                writes: 41,
                bytes: 2048,
            },
            holds,
            forged: 2,
            certificate: Some(CertificateStatus {
                origin: Origin::Secret,
                not_after: DateTime::UNIX_EPOCH,
            }),
        };
        let body = serde_json::to_string(&status).expect("JSON");
        serde_json::from_str(&body).expect("a replica")
    }

    #[test]
    fn the_body_of_the_admin_port_is_understood() {
        let replica = told(Vec::new());
        assert_eq!(replica.version, "1.2.3");
        assert_eq!(replica.identity.as_deref(), Some("replica-0"));
        assert!(replica.leads);
        assert_eq!(replica.forged, 2);
        assert_eq!((replica.queue.writes, replica.queue.bytes), (41, 2048));
        assert_eq!(table(&replica.holds), "");
        let certificate = replica.certificate.expect("TLS");
        assert_eq!(certificate.origin, Origin::Secret);
    }

    #[test]
    fn a_hold_that_two_replicas_have_is_told_once_with_its_beginning() {
        let mut later = held("QuotaExceeded", Some("team-a"), None);
        later.since += chrono::TimeDelta::seconds(9);
        let holds = told(vec![later, held("QuotaExceeded", Some("team-a"), None)]).holds;
        let others = told(vec![held("QuotaExceeded", Some("team-b"), None)]).holds;
        let merged = merge(holds.into_iter().chain(others));
        assert_eq!(merged.len(), 2);
        assert_eq!(merged[0].since, DateTime::UNIX_EPOCH);
    }

    #[test]
    fn each_hold_is_a_row_that_says_which_writes_wait() {
        let replica = told(vec![
            held("EtcdFull", None, None),
            held("QuotaExceeded", Some("team-a"), None),
            held("ServerError", None, Some(UID)),
        ]);
        let text = table(&replica.holds);
        let rows: Vec<Vec<_>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let uid = UID.to_string();
        let since = "1970-01-01T00:00:00Z";
        assert_eq!(rows[0], HEADER);
        assert_eq!(rows[1], ["EtcdFull", "*", "*", since]);
        assert_eq!(rows[2], ["QuotaExceeded", "team-a", "*", since]);
        assert_eq!(rows[3], ["ServerError", &uid, since]);
    }
}
