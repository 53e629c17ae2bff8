//! The time from an edit until its Revision is stored.

use super::history::{History, Key};
use super::stage::until;
use crate::support::patch;
use crate::traffic::uri;
use futures::StreamExt;
use http::Request;
use kube::core::WatchEvent;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The moments at which Revisions were stored.
type Moments = Arc<Mutex<BTreeMap<Key, Instant>>>;

/// A watch of the Revisions of a namespace, which notes when each is stored.
pub struct Arrivals<'a> {
    history: &'a History,
    seen: Moments,
    watching: JoinHandle<()>,
}

impl<'a> Arrivals<'a> {
    /// Watches from now on.
    pub async fn watch(history: &'a History) -> Self {
        let path = format!(
            "/apis/revisor.dev/v1alpha1/namespaces/{}/revisions?watch=1",
            history.namespace
        );
        let request = Request::get(path).body(Vec::new()).expect("a request");
        let events = history.client.request_events::<Value>(request).await;
        let events = events.expect("a watch");
        let seen = Moments::default();
        let moments = seen.clone();
        let watching = tokio::spawn(async move {
            let mut events = pin!(events);
            while let Some(event) = events.next().await {
                if let Ok(WatchEvent::Added(revision)) = event {
                    note(&moments, &revision);
                }
            }
        });
        Self {
            history,
            seen,
            watching,
        }
    }

    /// Edits `w0`, `w1` … in turn, once for each of `numbers`. The result is the times until the
    /// Revisions were stored, sorted.
    pub async fn of_edits(
        &self,
        workloads: usize,
        numbers: Range<usize>,
        limit: Duration,
    ) -> Vec<Duration> {
        let mut made = Vec::new();
        for number in numbers {
            let path = self.history.path(&format!("w{}", number % workloads));
            let edited = patch(&self.history.client, &path, &uri(number)).await;
            made.push(((edited.uid, edited.generation), Instant::now()));
        }
        let all = async || {
            let seen = self.seen.lock().expect("no panic");
            made.iter().all(|(key, _)| seen.contains_key(key))
        };
        until(limit, "every edit is recorded", all).await;
        let seen = self.seen.lock().expect("no panic");
        let mut times: Vec<_> = made
            .iter()
            .map(|(key, at)| seen[key].saturating_duration_since(*at))
            .collect();
        times.sort_unstable();
        times
    }
}

impl Drop for Arrivals<'_> {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn note(moments: &Moments, revision: &Value) {
    let spec = &revision["spec"];
    let uid = spec["workload"]["uid"].as_str().expect("a uid").to_owned();
    let generation = spec["generation"].as_i64().expect("a number");
    let mut moments = moments.lock().expect("no panic");
    moments
        .entry((uid, generation))
        .or_insert_with(Instant::now);
}
