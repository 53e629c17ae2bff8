//! Serves recorded Revisions by the REST API, in this process, and reads them.

use super::fill::Shown;
use crate::script::{Answer, client};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use revisor::cache::{Cache, Identity};
use revisor::kinds::Catalogue;
use revisor::metrics::Metrics;
use revisor::observe::Observer;
use revisor::revision::Revision;
use revisor::serve::admin::Readiness;
use revisor::serve::api::{Api, Options};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

const COLLECTION: &str = "/apis/revisor.dev/v1alpha1";

/// Revisions, and the API that serves them.
pub struct Served {
    revisions: HashMap<(Uuid, i64), Revision>,
    api: Api,
    _cache: AbortOnDropHandle<()>,
}

impl Served {
    /// Serves these Revisions, when the cache has listed them.
    pub async fn new(catalogue: &Arc<Catalogue>, revisions: Vec<Revision>) -> Self {
        let metrics = Metrics::new();
        let client = server(&revisions);
        let identity = Identity {
            r#type: "inference".to_owned(),
            tenant: 1,
            cluster: Uuid::nil(),
            hardware: catalogue.hardware(),
        };
        let cache = Cache::new(identity, Observer::none(), Arc::default(), &metrics);
        let ready = Readiness::default();
        let gate = ready.gate("cache");
        let mut filled = gate.subscribe();
        let following = tokio::spawn(cache.clone().run(client.clone(), gate));
        filled.wait_for(|filled| *filled).await.expect("a cache");
        let api = Api {
            cache: Arc::new(cache),
            ready,
            authenticator: None,
            client,
            catalogue: catalogue.clone(),
            names: Arc::default(),
            options: Options::default(),
            metrics,
            fetches: Api::fetches(),
        };
        let key = |revision: &Revision| (revision.spec.workload.uid, revision.spec.generation);
        Self {
            revisions: revisions.into_iter().map(|r| (key(&r), r)).collect(),
            api,
            _cache: AbortOnDropHandle::new(following),
        }
    }

    /// A Revision.
    pub fn revision(&self, workload: Uuid, generation: i64) -> &Revision {
        let found = self.revisions.get(&(workload, generation));
        found.unwrap_or_else(|| panic!("generation {generation} of {workload} is not recorded"))
    }

    /// Everything that shows a generation, by the name of what shows it. The snapshot of a Revision itself is not
    /// among it: the right to read Revisions is the right to read it.
    pub async fn outputs(&self, workload: Uuid, generation: i64) -> Vec<(&'static str, Shown)> {
        let mut revision = self.revision(workload, generation).clone();
        revision.spec.snapshot = None;
        let revision = serde_json::to_string(&revision).expect("JSON");
        let mut outputs = vec![("Revision", Shown::new(revision))];
        outputs.extend(self.answers(workload, generation).await);
        outputs
    }

    /// Every answer of the REST API about a generation.
    pub async fn answers(&self, workload: Uuid, generation: i64) -> Vec<(&'static str, Shown)> {
        let id = self.revision(workload, generation).spec.id;
        let whole = format!("/api/revisor/v1/revisions/{id}");
        let contract = format!("/api/v1/workloads/inferences/revisions/{id}");
        let mut outputs = Vec::new();
        for (name, path, media) in [
            ("REST", contract, "application/json"),
            ("snapshot", format!("{whole}/snapshot"), "application/json"),
            ("YAML", format!("{whole}/snapshot"), "application/yaml"),
            (
                "patch",
                format!("{whole}/diff"),
                "application/json-patch+json",
            ),
            ("diff", format!("{whole}/diff"), "text/x-diff"),
        ] {
            // The first generation differs from nothing.
            if generation > 1 || !path.ends_with("diff") {
                outputs.push((name, self.get(&path, media).await));
            }
        }
        let shown = outputs.into_iter();
        shown.map(|(name, text)| (name, Shown::new(text))).collect()
    }

    /// Every answer of the REST API about a workload as a whole.
    pub async fn lists(&self, workload: Uuid) -> Vec<(&'static str, Shown)> {
        let list = format!("/api/v1/workloads/inferences/{workload}/revisions");
        let history = format!("/api/revisor/v1/workloads/{workload}/revisions");
        let mut lists = Vec::new();
        for (name, path) in [("list", list), ("history", history)] {
            lists.push((name, Shown::new(self.get(&path, "application/json").await)));
        }
        lists
    }

    /// The snapshot of a generation over REST.
    pub async fn snapshot(&self, workload: Uuid, generation: i64) -> Value {
        let id = self.revision(workload, generation).spec.id;
        let path = format!("/api/revisor/v1/revisions/{id}/snapshot");
        serde_json::from_str(&self.get(&path, "application/json").await).expect("JSON")
    }

    async fn get(&self, path: &str, media: &str) -> String {
        let request = Request::get(path)
            .header("accept", media)
            .body(Full::<Bytes>::default())
            .expect("a request");
        let response = self.api.respond(request).await;
        let status = response.status();
        let text = String::from_utf8(response.body().joined()).expect("text");
        assert!(status.is_success(), "{path}: {status} {text}");
        text
    }
}

/// An API server that has these Revisions.
fn server(revisions: &[Revision]) -> kube::Client {
    let stored: HashMap<_, _> = revisions
        .iter()
        .map(|revision| {
            let mut object = serde_json::to_value(revision).expect("JSON");
            let name = object["metadata"]["name"].as_str().expect("a name");
            let name = name.to_owned();
            object["metadata"]["uid"] = json!(revision.spec.id);
            object["metadata"]["resourceVersion"] = json!("5");
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            (name, object)
        })
        .collect();
    let items: Vec<_> = stored.values().collect();
    let list = json!({"metadata": {"resourceVersion": "9"}, "items": items}).to_string();
    let (client, _) = client(move |line, _, _| {
        let path = line.strip_prefix("GET ").unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let name = path.rsplit('/').next().unwrap_or_default();
        match stored.get(name) {
            Some(object) => Answer::Body(200, object.to_string()),
            None if query.contains("watch=true") => Answer::Silent,
            None if path == format!("{COLLECTION}/revisions") => Answer::Body(200, list.clone()),
            None => Answer::status(404, "NotFound", "not found"),
        }
    });
    client
}
