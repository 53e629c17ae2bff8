//! Workloads that had the same name one after the other. Pure.

use crate::kinds::GroupKind;
use crate::revision::Revision;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The Revisions of one workload, from the oldest to the newest.
#[derive(Clone, Debug)]
pub struct Life {
    /// metadata.uid of the workload.
    pub uid: Uuid,
    /// Never empty.
    pub revisions: Vec<Revision>,
}

impl Life {
    /// The newest Revision.
    ///
    /// # Panics
    /// Never: a life has a Revision.
    pub fn newest(&self) -> &Revision {
        self.revisions.last().expect("a life has a Revision")
    }

    /// The kind of the workload.
    pub fn group_kind(&self) -> GroupKind {
        let workload = &self.newest().spec.workload;
        GroupKind {
            kind: workload.kind.clone(),
            group: workload.group().to_owned(),
        }
    }

    /// The namespace of the workload.
    pub fn namespace(&self) -> &str {
        self.newest()
            .metadata
            .namespace
            .as_deref()
            .unwrap_or_default()
    }

    /// The name of the workload.
    pub fn name(&self) -> &str {
        &self.newest().spec.workload.name
    }

    /// When the workload was deleted; none while it is there.
    pub fn deleted_at(&self) -> Option<DateTime<Utc>> {
        let times = self
            .revisions
            .iter()
            .filter_map(|it| it.status.as_ref()?.workload_deletion_time);
        times.max()
    }

    fn begin(&self) -> DateTime<Utc> {
        self.revisions[0].spec.change_time
    }
}

/// The name of a workload with its namespace and kind.
pub type Name = (String, GroupKind, String);

/// The lives of each name, the present one last.
pub fn lives(all: Vec<Revision>) -> BTreeMap<Name, Vec<Life>> {
    let mut by_uid: BTreeMap<(String, Uuid), Vec<Revision>> = BTreeMap::new();
    for revision in all {
        let namespace = revision.metadata.namespace.clone().unwrap_or_default();
        let uid = revision.spec.workload.uid;
        by_uid.entry((namespace, uid)).or_default().push(revision);
    }
    let mut names: BTreeMap<Name, Vec<Life>> = BTreeMap::new();
    for ((namespace, uid), mut revisions) in by_uid {
        revisions.sort_by_key(|it| (it.spec.generation, it.spec.gap.is_none()));
        let life = Life { uid, revisions };
        let name = (namespace, life.group_kind(), life.name().to_owned());
        names.entry(name).or_default().push(life);
    }
    for lives in names.values_mut() {
        lives.sort_by_key(|life| (life.deleted_at().is_none(), life.begin(), life.uid));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::sample::revision;
    use super::*;

    #[test]
    fn each_name_has_its_lives_and_the_present_one_comes_last() {
        let of = |uid: u128, generation: i64, time: &str, deleted: Option<&str>| {
            let mut revision = revision(generation, "a").at(time).0;
            revision.spec.workload.uid = Uuid::from_u128(uid);
            let status = serde_json::json!({"workloadDeletionTime": deleted});
            revision.status = Some(serde_json::from_value(status).expect("a status"));
            revision
        };
        let all = vec![
            of(1, 1, "2026-01-02T00:00:00Z", None),
            of(2, 2, "2026-01-01T02:00:00Z", Some("2026-01-01T03:00:00Z")),
            of(2, 1, "2026-01-01T01:00:00Z", None),
        ];
        let names = lives(all);
        let (name, lives) = names.first_key_value().expect("a name");
        assert_eq!(
            (
                name.0.as_str(),
                name.1.to_string().as_str(),
                name.2.as_str()
            ),
            ("n", "Deployment.apps", "x")
        );
        let shown: Vec<_> = lives
            .iter()
            .map(|life| {
                (
                    life.uid.as_u128(),
                    life.newest().spec.generation,
                    life.deleted_at().is_some(),
                )
            })
            .collect();
        assert_eq!(shown, [(2, 2, true), (1, 1, false)]);
    }
}
