//! A history that moves to another namespace after its reader was let in.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A Revision of team-a, which is of team-b as soon as its content is asked for.
#[derive(Default)]
struct Moving(AtomicBool);

impl Moving {
    fn read(&self, scope: &Scope) -> Option<ServedRevision> {
        self.0.store(true, Relaxed);
        (*scope == Scope::All || *scope == Scope::Namespace("team-b".into())).then(|| {
            ServedRevision {
                workload: workload("team-b", "Deployment", WORKLOAD),
                generation: 1,
                before: None,
                has_long_name: false,
                json: Bytes::from_static(b"{\"of\":\"team-b\"}"),
                etag: [0; 16],
            }
        })
    }
}

impl RevisionLister for Moving {
    fn workload(&self, of: Of) -> Option<Arc<WorkloadRef>> {
        self.namespace(of)
            .map(|namespace| workload(&namespace, "Deployment", WORKLOAD))
    }
    fn namespace(&self, _: Of) -> Option<Arc<str>> {
        let has_moved = self.0.load(Relaxed);
        Some(if has_moved { "team-b" } else { "team-a" }.into())
    }
    fn list(&self, scope: &Scope, _: Uuid, _: bool) -> Option<ServedList> {
        self.read(scope).map(|found| ServedList {
            pieces: vec![found.json].into(),
            etag: [0; 16],
        })
    }
    fn count(&self, scope: &Scope, _: Uuid, _: bool) -> Option<usize> {
        self.read(scope).map(|_| 7)
    }
    fn get(&self, scope: &Scope, _: Uuid) -> Option<ServedRevision> {
        self.read(scope)
    }
    fn workloads(&self, _: &dyn Fn(&WorkloadRef) -> bool) -> Vec<Arc<WorkloadRef>> {
        vec![workload("team-a", "Deployment", WORKLOAD)]
    }
    fn summary(&self, scope: &Scope, _: Uuid) -> Option<Summary> {
        self.read(scope).map(|_| Summary {
            deleted_at: None,
            revisions: 7,
            phase: None,
            changed: None,
        })
    }
    fn history(&self, scope: &Scope, _: Uuid, _: Option<(i64, Uuid)>) -> Option<Vec<HistoryItem>> {
        self.read(scope).map(|_| Vec::new())
    }
}

fn moving(namespaces: &'static [&'static str]) -> (Api, watch::Sender<bool>) {
    let server = lets_in(move |attributes| {
        let namespace = attributes["namespace"].as_str().unwrap_or_default();
        namespaces.contains(&namespace)
    });
    let (mut api, open) = api(Fixed::default(), Some(server), true);
    api.cache = Arc::new(Moving::default());
    (api, open)
}

/// The paths that answer with the content of one workload or Revision.
fn of_one() -> impl Iterator<Item = String> {
    paths()
        .filter(|(name, ..)| !["token", "openapi", "workloads", "namespaces"].contains(name))
        .map(|(_, _, path)| path)
}

#[tokio::test]
async fn the_right_to_one_namespace_opens_no_other() {
    let mut asked = 0;
    for path in of_one() {
        let (api, _open) = moving(&["team-a"]);
        let (status, body) = ask(&api, "GET", &path, &[TOKEN]).await;
        assert_eq!(status, 403, "{path}: {body}");
        assert!(!body.to_string().contains("team-b"), "{path}: {body}");
        asked += 1;
    }
    assert!(asked >= 6, "{asked} paths");
}

#[tokio::test]
async fn who_may_read_both_gets_the_history_where_it_is_now() {
    let (api, _open) = moving(&["team-a", "team-b"]);
    let path = format!("/api/v1/workloads/inferences/revisions/{WORKLOAD}");
    let (status, body) = ask(&api, "GET", &path, &[TOKEN]).await;
    assert_eq!((status, &body["of"]), (200, &json!("team-b")));
}

#[tokio::test]
async fn a_workload_that_moves_is_no_row_of_the_namespace_that_it_left() {
    let (api, _open) = moving(&["team-a"]);
    let path = "/api/revisor/v1/workloads?namespace=team-a";
    let (status, body) = ask(&api, "GET", path, &[TOKEN]).await;
    assert_eq!((status, &body["workloads"]), (200, &json!([])));
}

/// The refusal of an id that is known in another namespace, and of one that is not known at all.
#[tokio::test]
async fn a_refusal_does_not_tell_whether_an_id_is_known() {
    for path in of_one() {
        let (known, _open) = moving(&[]);
        let (unknown, _open) = api(Fixed::default(), Some(lets_in(|_| false)), true);
        let answers = [
            ask(&known, "GET", &path, &[TOKEN]).await,
            ask(&unknown, "GET", &path, &[TOKEN]).await,
        ];
        assert_eq!(answers[0], answers[1], "{path}");
        assert_eq!(answers[0].0, 403, "{path}");
    }
}
