//! The state of one replica, as `/status` of its admin port tells it. Pure.

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
        assert_eq!((replica.queue.writes, replica.queue.bytes), (41, 2048));
        assert_eq!(table(&replica.holds), "");
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
