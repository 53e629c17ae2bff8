//! `departmentId` and `projectId`, and whether anything is recorded, from the labels of namespaces; and the lives of these.

use crate::record::lives::Life;
use crate::revision::LABEL_RECORD;
use chrono::DateTime;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use std::collections::{BTreeMap, HashMap, HashSet};
use tokio::sync::watch;
use uuid::Uuid;

/// Department, project and refusal of each namespace, from its labels.
pub(super) type Projects = HashMap<String, Project>;

/// The values of a namespace's labels; none where it has no such label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Project {
    pub(super) department: Option<String>,
    pub(super) project: Option<String>,
    /// Whether nothing in the namespace is recorded.
    pub(super) is_refused: bool,
}

/// The labels of namespaces that hold the values, by preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectLabels {
    /// For `departmentId`.
    pub department: Vec<String>,
    /// For `projectId`.
    pub project: Vec<String>,
}

impl ProjectLabels {
    fn read(&self, labels: &BTreeMap<String, String>) -> Project {
        Project {
            department: first_value(labels, &self.department),
            project: first_value(labels, &self.project),
            is_refused: labels
                .get(LABEL_RECORD)
                .is_some_and(|record| record == "false"),
        }
    }
}

/// The value of the first of these labels that is there and not empty.
fn first_value(labels: &BTreeMap<String, String>, keys: &[String]) -> Option<String> {
    keys.iter()
        .filter_map(|key| labels.get(key))
        .find(|value| !value.is_empty())
        .cloned()
}

/// One life of a namespace; none when it lacks what every stored object has.
fn life(namespace: &PartialObjectMeta<Namespace>) -> Option<Life> {
    let metadata = namespace.meta();
    let created = metadata.creation_timestamp.as_ref()?.0;
    Some(Life {
        uid: Uuid::try_parse(metadata.uid.as_ref()?).ok()?,
        created: DateTime::from_timestamp(created.as_second(), 0)?,
        is_going: metadata.deletion_timestamp.is_some(),
    })
}

/// Reports the labels and the life of each namespace to `tell`, until it is dropped. `ready` turns true when all were reported.
pub(super) async fn follow(
    client: Client,
    labels: &ProjectLabels,
    tell: impl Fn(&str, Option<Project>, Option<Life>),
    ready: watch::Sender<bool>,
) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut known = HashSet::new();
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(namespace) | watcher::Event::Apply(namespace)) => {
                let project = labels.read(namespace.labels());
                tell(&namespace.name_any(), Some(project), life(&namespace));
                listed.insert(namespace.name_any());
                known.insert(namespace.name_any());
            }
            Ok(watcher::Event::InitDone) => {
                known
                    .difference(&listed)
                    .for_each(|gone| tell(gone, None, None));
                known.clone_from(&listed);
                ready.send_replace(true);
            }
            Ok(watcher::Event::Delete(namespace)) => {
                tell(&namespace.name_any(), None, None);
                known.remove(&namespace.name_any());
                listed.remove(&namespace.name_any());
            }
            Err(error) => {
                tracing::warn!(%error, "reading the labels of namespaces failed; projectId may be the namespace's name");
                // Missing labels are no reason to serve nothing.
                ready.send_replace(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_label_that_is_there_counts() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        let labels = ProjectLabels {
            department: keys(&[]),
            project: keys(&["kai/project", "runai/queue"]),
        };
        let of = |pairs: &[(&str, &str)]| {
            let all = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            labels.read(&all).project
        };
        assert_eq!(
            of(&[("runai/queue", "q"), ("x", "y")]).as_deref(),
            Some("q")
        );
        assert_eq!(
            of(&[("runai/queue", "q"), ("kai/project", "p")]).as_deref(),
            Some("p")
        );
        assert_eq!((of(&[]), of(&[("kai/project", "")])), (None, None));
    }
}
