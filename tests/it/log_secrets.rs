//! Log lines, Events and metrics of a controller whose API server repeats secrets in what it answers.

use crate::script::{Answer, client};
use revisor::metrics::Metrics;
use revisor::record::ledger::Ledger;
use revisor::record::lives::Origin;
use revisor::record::queue::{Item, Pending, Queue, Write};
use revisor::record::report::Reporter;
use revisor::record::writer::Writer;
use revisor::redact::Names;
use revisor::revision::Revision;
use revisor::watch::Room;
use serde_json::json;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const SECRETS: [&str; 2] = ["hunter2-of-the-policy", "blue-door-seventeen"];

/// What is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

fn revision() -> Revision {
    serde_json::from_value(json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": "w-00001", "namespace": "n"},
        "spec": {
            "id": Uuid::nil(), "type": "Change", "generation": 1, "resourceVersion": "1", "observedVia": "Watch",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w", "uid": Uuid::nil()},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed", "contentDigest": "sha256:aa",
            "snapshot": {"encoding": "json", "size": 2, "data": "{}"},
        },
    }))
    .expect("a Revision")
}

/// An answer to a create that repeats the secrets of the object.
fn repeating(code: u16, reason: &str, begins: &str) -> Answer {
    let [password, code_word] = SECRETS;
    let words = format!("{begins} DB_PASSWORD={password} DOOR_CODE={code_word} \u{202e}");
    if code != 422 {
        return Answer::status(code, reason, &words);
    }
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": words,
        "details": {"causes": [{"reason": "FieldValueInvalid", "field": "spec"}]},
    });
    Answer::Body(code, status.to_string())
}

/// Writes a Revision that is refused twice, and gives all that is said of it: the log, the Events, the metrics.
async fn said(code: u16, reason: &'static str, begins: &'static str) -> [String; 3] {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(log);
    let (client, asked) = client(move |line, _, before| match before {
        0..2 if line.contains("/revisions") => repeating(code, reason, begins),
        _ => Answer::Body(201, "{}".to_owned()),
    });
    let metrics = Metrics::new();
    let queue = Queue::new(1 << 30, 16, Room::default(), &metrics);
    let item = Item {
        write: Write::Create(Box::new(revision()), None),
        workload: Uuid::nil(),
        origin: Origin::default(),
        seen: Instant::now(),
        ledger: Ledger::new(&metrics, "Deployment"),
        pending: Pending::At("7".parse().expect("a number"), None),
    };
    queue.push(item).await;
    queue.close();
    let (reporter, reporting) = Reporter::new(client.clone(), "revisor", &metrics);
    tokio::spawn(reporting);
    let names = Names {
        secret: vec!["DOOR_CODE".parse().expect("a name")],
        ..Names::default()
    };
    let writer = Writer::new(client, queue, reporter, &metrics).hiding(&names);
    writer.run().await;
    // The last Events are on their way.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let asked = asked.lock().expect("no panic");
    let events = asked.iter().filter(|(line, _)| line.contains("/events"));
    let events: String = events.map(|(_, body)| body.as_str()).collect();
    [lines.text(), events, metrics.encode()]
}

#[tokio::test(start_paused = true)]
async fn words_of_the_api_server_are_repeated_without_secrets() {
    for (code, reason, begins) in [
        (
            403,
            "Forbidden",
            "admission webhook \"policy\" denied the request:",
        ),
        (
            422,
            "Invalid",
            "Revision.revisor.dev \"w-00001\" is invalid: ",
        ),
        (
            500,
            "InternalError",
            "Internal error occurred: failed calling webhook \"policy\":",
        ),
    ] {
        let [log, events, metrics] = said(code, reason, begins).await;
        let marked = "DB_PASSWORD=[redacted] DOOR_CODE=[redacted] \\u{202e}";
        let in_event = marked.replace('\\', "\\\\");
        let told = ["writing Revisions is held", "refused: "];
        assert!(
            told.iter().any(|words| log.contains(words)),
            "{code}: {log}"
        );
        assert!(log.contains(&in_event), "{code}: {log}");
        assert!(events.contains(&in_event), "{code}: {events}");
        for secret in SECRETS {
            for text in [&log, &events, &metrics] {
                assert!(!text.contains(secret), "{code}: {text}");
            }
        }
    }
}
