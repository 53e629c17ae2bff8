//! Reports, as Kubernetes Events on the workload, what could not be recorded. Best effort.

use crate::metrics::Metrics;
use crate::mutant::{self, Mutant};
use crate::revision::Revision;
use crate::watch::checkpoint::CHECKPOINT;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter as Source};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Events wait here while the API server is slow; more are dropped and counted, since each says the same.
const WAITING: usize = 256;
const DEADLINE: Duration = Duration::from_secs(10);

/// One Event, and the object that it is about.
struct Report {
    workload: ObjectReference,
    event: Event,
}

/// The inlet of Events. Cloning shares it.
#[derive(Clone)]
pub struct Reporter {
    reports: mpsc::Sender<Report>,
    namespace: Arc<str>,
    metrics: Metrics,
}

impl Reporter {
    /// A reporter, and the task that sends what it is given until all reporters are gone.
    pub fn new(
        client: Client,
        namespace: &str,
        metrics: &Metrics,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (reports, received) = mpsc::channel(WAITING);
        let reporter = Self {
            reports,
            namespace: namespace.into(),
            metrics: metrics.clone(),
        };
        (reporter, send(client, received, metrics.clone()))
    }

    /// Warns about a Revision of a workload. `reason` is one CamelCase word.
    pub(crate) fn warn(&self, revision: &Revision, reason: &'static str, note: String) {
        self.warn_of(reference(revision), reason, note);
    }

    /// Warns about a workload. `reason` is one CamelCase word.
    pub(crate) fn warn_of(&self, workload: ObjectReference, reason: &'static str, note: String) {
        self.send(workload, warning(reason, note));
    }

    /// Warns about something that belongs to no workload. `reason` is one CamelCase word.
    pub(crate) fn tell(&self, reason: &'static str, note: String) {
        self.send(installation(&self.namespace), warning(reason, note));
    }

    fn send(&self, workload: ObjectReference, event: Event) {
        let workload = if mutant::is(Mutant::EventsJoined) {
            installation(&self.namespace)
        } else {
            workload
        };
        if self.reports.try_send(Report { workload, event }).is_err() {
            self.metrics.events_dropped.inc();
        }
    }
}

/// The object of Events that belong to no workload.
fn installation(namespace: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        name: Some(CHECKPOINT.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    }
}

/// The workload of a Revision.
pub(crate) fn reference(revision: &Revision) -> ObjectReference {
    let workload = &revision.spec.workload;
    ObjectReference {
        api_version: Some(workload.api_version.clone()),
        kind: Some(workload.kind.clone()),
        name: Some(workload.name.clone()),
        namespace: revision.metadata.namespace.clone(),
        uid: Some(workload.uid.to_string()),
        ..ObjectReference::default()
    }
}

fn warning(reason: &str, note: String) -> Event {
    Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Record".to_owned(),
        secondary: None,
    }
}

/// The Events that were sent lately. kube's `Recorder` takes Events about one object with one reason for repetitions,
/// whatever their notes say, and sends the first note again; so each note has a `Recorder` of its own.
struct Series {
    client: Client,
    recorders: VecDeque<(SeriesKey, Recorder)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SeriesKey {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    reason: String,
    note: Option<String>,
}

impl SeriesKey {
    fn of(Report { workload, event }: &Report) -> Self {
        Self {
            kind: workload.kind.clone(),
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
            uid: workload.uid.clone(),
            reason: event.reason.clone(),
            note: event
                .note
                .clone()
                .filter(|_| !mutant::is(Mutant::EventsJoined)),
        }
    }
}

impl Series {
    /// The `Recorder` of the series that `report` belongs to; a new one when no earlier report was the same.
    fn recorder(&mut self, report: &Report) -> Recorder {
        let key = SeriesKey::of(report);
        if let Some((_, recorder)) = self.recorders.iter().find(|(known, _)| *known == key) {
            return recorder.clone();
        }
        let source = Source {
            controller: "revisor".to_owned(),
            instance: None,
        };
        let recorder = Recorder::new(self.client.clone(), source);
        self.recorders.truncate(WAITING - 1);
        self.recorders.push_front((key, recorder.clone()));
        recorder
    }
}

async fn send(client: Client, mut reports: mpsc::Receiver<Report>, metrics: Metrics) {
    let mut series = Series {
        client,
        recorders: VecDeque::new(),
    };
    while let Some(report) = reports.recv().await {
        let recorder = series.recorder(&report);
        let Report { workload, event } = report;
        let sent = timeout(DEADLINE, recorder.publish(&event, &workload)).await;
        if !matches!(sent, Ok(Ok(()))) {
            metrics.events_dropped.inc();
            tracing::debug!(reason = event.reason, "an Event could not be sent");
        }
    }
}
