//! The corpus of redaction: no secret of `tests/redaction/secrets/` may be read in anything that Revisor shows, and what
//! stands in `tests/redaction/harmless/` has to be shown as it is.
//!
//! Each entry becomes a workload that is recorded by the recorder and served by the REST API, both in this process. The
//! secrets themselves are made up when the test runs; see `tests/redaction/README.md`.

mod cases;
mod check;
mod corpus;
mod fill;
mod kinds;
mod manifest;
mod older;
mod paths;
mod record;
mod serve;
mod table;

use corpus::{Form, Group, Place};
use fill::{Filler, Shown};
use record::{Workload, record, reindexed};
use revisor::kinds::Catalogue;
use revisor::redact::Names;
use serde_json::Value;
use serve::Served;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use table::{Finding, table};
use uuid::Uuid;

/// So many workloads are recorded and served together.
const BATCH: usize = 40;

/// A secret of the corpus, filled in twice: as it came, and as it was after it was changed.
struct Secret {
    form: String,
    /// The number of the entry in its form.
    entry: usize,
    template: Value,
    first: Place,
    second: Place,
    /// The pieces of both that nobody may read.
    planted: Vec<String>,
}

/// A harmless value of the corpus.
struct Harmless {
    about: String,
    entry: usize,
    value: Value,
    place: Place,
}

/// The step, the name of the output, and its text.
type Output = (&'static str, &'static str, Shown);

/// Every secret of the corpus.
fn secrets() -> Vec<Secret> {
    let tokens = corpus::tokens();
    let forms = corpus::forms();
    let entries = forms.iter().flat_map(|Form { form, entries, .. }| {
        (1..)
            .zip(entries)
            .map(move |(entry, template)| (form, entry, template))
    });
    let filled = entries.map(|(form, entry, template)| {
        let mut planted = Vec::new();
        let [first, second] = ["first", "second"].map(|time| {
            let mut filler = Filler::new(&tokens, &format!("{form} {entry} {time}"));
            let value = filler.value(template);
            planted.append(&mut filler.planted);
            Place::read(&value).unwrap_or_else(|error| panic!("{form} {entry}: {error}"))
        });
        Secret {
            form: form.clone(),
            entry,
            template: template.clone(),
            first,
            second,
            planted,
        }
    });
    filled.collect()
}

/// The generations of a workload to which a secret comes, is changed, gets something before it, and goes.
fn generations(catalogue: &Catalogue, number: usize, first: &Place, second: &Place) -> Workload {
    let kind = manifest::kind(catalogue, first);
    let steps = vec![
        ("before", manifest::plain(&kind, 1)),
        ("added", manifest::with(&kind, 2, first, false)),
        ("changed", manifest::with(&kind, 3, second, false)),
        ("moved", manifest::with(&kind, 4, second, true)),
        ("removed", manifest::plain(&kind, 5)),
    ];
    Workload {
        uid: Uuid::from_u128(number as u128 + 1),
        kind,
        steps,
    }
}

/// Records and serves workloads.
async fn serve(catalogue: &Arc<Catalogue>, workloads: &[Workload]) -> Served {
    Served::new(catalogue, record(catalogue, workloads).await).await
}

/// Everything that shows a workload.
async fn shown(served: &Served, workload: &Workload) -> Vec<Output> {
    let mut all = Vec::new();
    for (generation, (step, _)) in (1..).zip(&workload.steps) {
        let outputs = served.outputs(workload.uid, generation).await;
        all.extend(outputs.into_iter().map(|(name, text)| (*step, name, text)));
    }
    all
}

/// The outputs of which a condition holds, each with the steps.
fn places(
    outputs: &[Output],
    holds: impl Fn(&Shown) -> bool,
) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut places: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (step, output, _) in outputs.iter().filter(|(_, _, text)| holds(text)) {
        places.entry(*output).or_default().insert(*step);
    }
    places
}

/// Text that stands for itself: messages of pods and of conditions.
fn message(place: &Place) -> Option<Shown> {
    match place {
        Place::Message { message } => Some(Shown::new(Names::default().text(message).into_owned())),
        _ => None,
    }
}

/// Where the secrets of a batch can be read.
async fn leaks(catalogue: &Arc<Catalogue>, batch: &[Secret]) -> Vec<Finding> {
    let workloads: Vec<_> = (0..)
        .zip(batch)
        .map(|(number, secret)| generations(catalogue, number, &secret.first, &secret.second))
        .collect();
    let served = serve(catalogue, &workloads).await;
    let mut findings = Vec::new();
    for (secret, workload) in batch.iter().zip(&workloads) {
        let mut outputs = shown(&served, workload).await;
        let [_, (_, added), (_, changed), ..] = &workload.steps[..] else {
            unreachable!("five steps");
        };
        let view = reindexed(&workload.kind, added, changed);
        let view = serde_json::to_string(&view).expect("JSON");
        outputs.push(("changed", "reindexed", Shown::new(view)));
        outputs.extend(message(&secret.first).map(|text| ("added", "message", text)));
        let reveals = |text: &Shown| secret.planted.iter().any(|piece| text.reveals(piece));
        let places = places(&outputs, reveals);
        let before = places.values().any(|steps| steps.contains("before"));
        assert!(
            !before,
            "{} {}: not recognisable",
            secret.form, secret.entry
        );
        findings.push(Finding {
            form: secret.form.clone(),
            entry: secret.entry,
            template: secret.template.clone(),
            places,
        });
    }
    findings
}

#[tokio::test]
async fn no_secret_of_the_corpus_is_shown() {
    let catalogue = Arc::new(Catalogue::built_in());
    let mut findings = Vec::new();
    for batch in secrets().chunks(BATCH) {
        findings.extend(leaks(&catalogue, batch).await);
    }
    let shown = findings.iter().filter(|finding| finding.is_found()).count();
    assert_eq!(shown, 0, "secrets are shown\n{}", table(&findings));
}

/// Every harmless value of the corpus.
fn harmless() -> Vec<Harmless> {
    let groups = corpus::groups();
    let entries = groups.iter().flat_map(|Group { about, entries, .. }| {
        (1..).zip(entries).map(move |(entry, value)| Harmless {
            about: about.clone(),
            entry,
            value: value.clone(),
            place: Place::read(value).unwrap_or_else(|error| panic!("{about}: {error}")),
        })
    });
    entries.collect()
}

/// The outputs that hide a harmless value, for each of a batch.
async fn hidden(catalogue: &Arc<Catalogue>, batch: &[Harmless]) -> Vec<Finding> {
    let workloads: Vec<_> = (0..)
        .zip(batch)
        .map(|(number, value)| generations(catalogue, number, &value.place, &value.place))
        .collect();
    let served = serve(catalogue, &workloads).await;
    let mut findings = Vec::new();
    for (value, workload) in batch.iter().zip(&workloads) {
        let mut outputs = shown(&served, workload).await;
        outputs.extend(message(&value.place).map(|text| ("added", "message", text)));
        let mut places = places(&outputs, Shown::hides);
        let (_, added) = &workload.steps[1];
        if !is_same(added, &served.snapshot(workload.uid, 2).await) {
            places.entry("snapshot").or_default().insert("added");
        }
        findings.push(Finding {
            form: value.about.clone(),
            entry: value.entry,
            template: value.value.clone(),
            places,
        });
    }
    findings
}

/// Whether a snapshot has what the manifest has.
fn is_same(manifest: &Value, snapshot: &Value) -> bool {
    let annotations = |object: &Value| {
        let mut annotations = object["metadata"]["annotations"].clone();
        if let Some(map) = annotations.as_object_mut() {
            map.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        annotations
    };
    manifest["spec"] == snapshot["spec"] && annotations(manifest) == annotations(snapshot)
}

#[tokio::test]
async fn harmless_values_of_the_corpus_are_shown() {
    let catalogue = Arc::new(Catalogue::built_in());
    let values = harmless();
    let mut findings = Vec::new();
    for batch in values.chunks(BATCH) {
        findings.extend(hidden(&catalogue, batch).await);
    }
    let hidden = findings.iter().filter(|finding| finding.is_found()).count();
    let bound = values.len() / 100;
    println!("{hidden} of {} harmless values are hidden", values.len());
    let table = table(&findings);
    assert!(
        hidden <= bound,
        "{hidden} harmless values are hidden, at most {bound} may be\n{table}"
    );
}
