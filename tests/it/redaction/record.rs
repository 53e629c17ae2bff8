//! Records workloads as the recorder does, before an API server that only notes what it is sent.

use crate::script::{Answer, client};
use revisor::json::Document;
use revisor::kinds::{Catalogue, Kind};
use revisor::metrics::Metrics;
use revisor::observe::Observer;
use revisor::record::extract::Extractor;
use revisor::record::lives::Lives;
use revisor::record::queue::Queue;
use revisor::record::quiet::Quiet;
use revisor::record::report::Reporter;
use revisor::record::writer::Writer;
use revisor::record::{Archive, KindRecorder, Recorder, Settings};
use revisor::redact::Names;
use revisor::revision::{FieldChange, Observed, Revision, View, limits};
use revisor::text::cut;
use revisor::view::again;
use revisor::view::diff::{self, display};
use revisor::watch::{Fact, News, Room, Sink};
use revisor::workload::{Change, Op, Resource};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;

/// One workload and its generations.
pub struct Workload {
    pub uid: Uuid,
    pub kind: Arc<Kind>,
    /// The event of each generation, and the workload after it.
    pub steps: Vec<(&'static str, Value)>,
}

/// Nothing was recorded before.
struct Nothing;

impl Archive for Nothing {
    fn recorded(&self, _: Uuid, _: &RangeInclusive<i64>) -> BTreeSet<i64> {
        BTreeSet::new()
    }
}

/// The Revisions of these workloads, as they are sent to the API server.
pub async fn record(catalogue: &Arc<Catalogue>, workloads: &[Workload]) -> Vec<Revision> {
    record_by(&Names::default(), catalogue, workloads).await
}

/// The same, with names of secrets of a configuration.
pub async fn record_by(
    names: &Names,
    catalogue: &Arc<Catalogue>,
    workloads: &[Workload],
) -> Vec<Revision> {
    let metrics = Metrics::new();
    let (client, log) = client(|_, _, _| Answer::Body(201, "{}".to_owned()));
    let queue = Queue::new(1 << 30, 16, Room::default(), &metrics);
    let (reporter, reporting) = Reporter::new(client.clone(), "n", &metrics);
    tokio::spawn(reporting);
    let recorder = Recorder {
        catalogue: catalogue.clone(),
        settings: Arc::new(Settings {
            names: names.clone(),
            ..Settings::default()
        }),
        archive: Arc::new(Nothing),
        lives: Lives::default(),
        queue: queue.clone(),
        quiet: Quiet::new(queue.clone()),
        extractor: Extractor::new(names.clone(), &metrics),
        reporter: reporter.clone(),
        observer: Observer::none(),
        metrics: metrics.clone(),
    };
    for workload in workloads {
        let mut recording = KindRecorder::new(recorder.clone(), workload.kind.clone());
        recording.take(Fact::Listing(Vec::new())).await;
        for change in changes(workload) {
            recording.take(Fact::Change(change, News::Generation)).await;
        }
    }
    queue.close();
    Writer::new(client, queue, reporter, &metrics).run().await;
    let log = log.lock().expect("no panic");
    log.iter()
        .filter(|(line, _)| line.starts_with("POST") && line.contains("/revisions"))
        .map(|(_, body)| serde_json::from_str(body).expect("a Revision"))
        .collect()
}

/// The changes of a workload, as the watch tells them.
fn changes(workload: &Workload) -> impl Iterator<Item = Change> {
    let kind = &workload.kind;
    let resource = Arc::new(Resource {
        group: kind.group.clone(),
        version: kind.versions[0].clone(),
        kind: kind.kind.clone(),
        plural: kind.plural.clone(),
    });
    (1..)
        .zip(&workload.steps)
        .map(move |(generation, (_, object))| {
            let name = object["metadata"]["name"].as_str().unwrap_or("llama");
            Change {
                resource: resource.clone(),
                uid: workload.uid,
                name: name.to_owned(),
                namespace: "n".to_owned(),
                generation,
                resource_version: generation.to_string().parse().expect("a number"),
                created: None,
                seen: Observed::Watch,
                op: Op::Modified,
                raw: RawValue::from_string(object.to_string()).expect("JSON"),
                absent_at: None,
            }
        })
}

/// The view of the last of two states, made anew from a view that hides nothing, without the state before: as
/// `revisor reindex` mends Revisions whose neighbours are gone.
pub fn reindexed(kind: &Kind, before: &Value, after: &Value) -> View {
    reindexed_by(&Names::default(), kind, before, after)
}

/// The same, with names of secrets of a configuration.
pub fn reindexed_by(names: &Names, kind: &Kind, before: &Value, after: &Value) -> View {
    let shown = bare_view(before, after);
    let after = after.to_string();
    let after = Document::parse(&after).expect("JSON");
    again(kind, after.root(), None, &shown, names).expect("a view")
}

/// The view of the last of two states, as an extractor would make it that knows no secrets.
pub fn bare_view(before: &Value, after: &Value) -> View {
    let container = &after["spec"]["template"]["spec"]["containers"][0];
    let texts = |field: &str| -> Vec<String> {
        let items = container[field].as_array().into_iter().flatten();
        let items = items.filter_map(Value::as_str);
        items
            .map(|item| cut(item, limits::MAX_ITEM).into_owned())
            .collect()
    };
    let variables = container["env"].as_array().into_iter().flatten();
    let env = variables.map(|variable| {
        let text = |field: &str| variable[field].as_str().unwrap_or_default();
        format!("{}={}", text("name"), cut(text("value"), limits::MAX_ITEM))
    });
    View {
        version: 1,
        summary: "changed".to_owned(),
        changes: bare_changes(before, after),
        images: container["image"]
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .collect(),
        command: texts("command"),
        args: texts("args"),
        env: env.collect(),
        ..View::default()
    }
}

fn bare_changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    let before = before.to_string();
    let after = after.to_string();
    let before = Document::parse(&before).expect("JSON");
    let after = Document::parse(&after).expect("JSON");
    let deltas = diff::objects(before.root(), after.root());
    let side = |value: Option<revisor::json::Value<'_>>| {
        let text = |value: revisor::json::Value<'_>| match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.canonical(),
        };
        value.map(|value| cut(&text(value), limits::MAX_VALUE).into_owned())
    };
    let changes = deltas.list.iter().map(|delta| FieldChange {
        path: display(&delta.path),
        from: side(delta.from),
        to: side(delta.to),
        ..FieldChange::default()
    });
    changes.collect()
}
