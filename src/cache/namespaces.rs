//! `departmentId` and `projectId`, from the labels of namespaces.

use super::index::Project;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use std::collections::{BTreeMap, HashSet};
use tokio::sync::watch;

/// Which labels of a namespace say what; the first that is there counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectLabels {
    /// For `departmentId`.
    pub department: Vec<String>,
    /// For `projectId`.
    pub project: Vec<String>,
}

impl ProjectLabels {
    fn read(&self, labels: &BTreeMap<String, String>) -> Project {
        let first = |keys: &[String]| {
            let mut values = keys
                .iter()
                .filter_map(|key| labels.get(key))
                .filter(|value| !value.is_empty());
            values.next().cloned()
        };
        Project {
            department: first(&self.department),
            project: first(&self.project),
        }
    }
}

/// Tells what each namespace says, until it is dropped. `ready` turns true when all were told.
pub(super) async fn follow(
    client: Client,
    labels: &ProjectLabels,
    tell: impl Fn(&str, Option<Project>),
    ready: watch::Sender<bool>,
) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    let (mut known, mut listed) = (HashSet::new(), HashSet::new());
    let project = |namespace: &PartialObjectMeta<Namespace>| labels.read(namespace.labels());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(namespace) | watcher::Event::Apply(namespace)) => {
                tell(&namespace.name_any(), Some(project(&namespace)));
                listed.insert(namespace.name_any());
                known.insert(namespace.name_any());
            }
            Ok(watcher::Event::InitDone) => {
                known.difference(&listed).for_each(|gone| tell(gone, None));
                known.clone_from(&listed);
                ready.send_replace(true);
            }
            Ok(watcher::Event::Delete(namespace)) => {
                tell(&namespace.name_any(), None);
                known.remove(&namespace.name_any());
                listed.remove(&namespace.name_any());
            }
            Err(error) => {
                tracing::warn!(%error, "reading the labels of namespaces failed; projectId may be the namespace's name");
                // Labels are no reason to serve nothing.
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
