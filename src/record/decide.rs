//! Whether a generation is recorded. Pure.

use super::managed::{self, ManagedFieldsEntry};
use crate::kinds::{Kind, Path};
use crate::view::absent;
use crate::view::diff::{Delta, Deltas, Segment, keys};

/// The knowledge about the generation before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Before {
    /// Nothing: the workload is seen for the first time.
    Nothing,
    /// Generation g-1 is known.
    Adjacent,
    /// Only an older generation is known.
    Apart,
}

/// The result of comparing the content with the last known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// It is the same.
    Same,
    /// It differs, only in replicas, and an autoscaler made it so.
    Autoscaled,
    /// It differs.
    Different,
    /// The last known content cannot be had.
    Unknown,
}

/// The decision about a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Recorded as the first sight of the workload.
    Baseline,
    /// Recorded; with a list of changes only if the generation before is known.
    Change {
        /// Whether the changes are told.
        told: bool,
    },
    /// Seen, and no change.
    Quiet,
}

/// Decides about one generation.
///
/// Across a hole nothing can be compared step by step: what is hidden there may have changed and changed back. So the
/// generation is recorded, without a list of changes, unless nothing but quiet generations explains it as well.
pub fn decide(before: Before, comparison: Comparison) -> Verdict {
    match (before, comparison) {
        (Before::Nothing, _) => Verdict::Baseline,
        (_, Comparison::Same | Comparison::Autoscaled) => Verdict::Quiet,
        (Before::Adjacent, Comparison::Different) => Verdict::Change { told: true },
        (Before::Adjacent, Comparison::Unknown) | (Before::Apart, _) => {
            Verdict::Change { told: false }
        }
    }
}

/// Compares by the differences, without those that mean nothing according to the kind file.
pub fn compare(
    kind: &Kind,
    deltas: &mut Deltas<'_>,
    entries: &[ManagedFieldsEntry<'_>],
    autoscalers: &[String],
) -> Comparison {
    absent::ignore(&kind.absent, deltas);
    if deltas.list.is_empty() {
        return Comparison::Same;
    }
    let is_autoscaled = !deltas.truncated
        && deltas
            .list
            .iter()
            .all(|delta| autoscaled(kind, delta, entries, autoscalers));
    if is_autoscaled {
        Comparison::Autoscaled
    } else {
        Comparison::Different
    }
}

/// Whether a difference is one of replicas, and an autoscaler made it.
fn autoscaled(
    kind: &Kind,
    delta: &Delta<'_>,
    entries: &[ManagedFieldsEntry<'_>],
    autoscalers: &[String],
) -> bool {
    kind.replicas.iter().any(|path| at(&delta.path, path))
        && managed::autoscaled(entries, &delta.path, autoscalers)
}

fn at(path: &[Segment<'_>], expected: &Path) -> bool {
    keys(path).is_some_and(|keys| keys == expected.keys())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use crate::view::diff::diff;

    const KIND: &str = "kind: Thing\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\nreplicas: [spec.replicas]\n\
        absent:\n- {path: spec.scale.hpa, when: {maxReplicas: 0, minReplicas: 1}}\n- {path: spec.probe, when: {}}\n";

    fn object(spec: &str, owner: &str) -> String {
        format!(
            r#"{{"metadata":{{"managedFields":[{{"manager":"{owner}","operation":"Update","subresource":"scale","time":"2026-01-01T00:00:00Z","fieldsV1":{{"f:spec":{{"f:replicas":{{}}}}}}}}]}},"spec":{spec}}}"#
        )
    }

    fn comparison(from: &str, to: &str, owner: &str) -> Comparison {
        let kind = Kind::parse("thing", KIND).expect("valid");
        let old_json = object(from, owner);
        let new_json = object(to, owner);
        let old = Document::parse(&old_json).expect("valid");
        let new = Document::parse(&new_json).expect("valid");
        let before = old.root().get("spec").expect("spec");
        let after = new.root().get("spec").expect("spec");
        compare(
            &kind,
            &mut diff("spec", before, after),
            &managed::entries(new.root()),
            &["hpa".to_owned()],
        )
    }

    #[test]
    fn what_counts_as_a_change() {
        use Comparison::{Autoscaled, Different, Same};
        for (from, to, owner, expected) in [
            (r#"{"a":1}"#, r#"{"a":1}"#, "x", Same),
            (r#"{"a":1}"#, r#"{"a":1.0}"#, "x", Different),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#, "x", Different),
            (r#"{"replicas":1}"#, r#"{"replicas":2}"#, "hpa", Autoscaled),
            (
                r#"{"replicas":1}"#,
                r#"{"replicas":2}"#,
                "kubectl",
                Different,
            ),
            (
                r#"{"replicas":1,"a":1}"#,
                r#"{"replicas":2,"a":2}"#,
                "hpa",
                Different,
            ),
            (
                r#"{"a":{"replicas":1}}"#,
                r#"{"a":{"replicas":2}}"#,
                "hpa",
                Different,
            ),
            (
                "{}",
                r#"{"scale":{"hpa":{"minReplicas":1,"maxReplicas":0}}}"#,
                "x",
                Same,
            ),
            (
                r#"{"scale":{}}"#,
                r#"{"scale":{"hpa":{"minReplicas":1,"maxReplicas":0}}}"#,
                "x",
                Same,
            ),
            (
                r#"{"scale":{"on":true}}"#,
                r#"{"scale":{"on":true,"hpa":{"minReplicas":1,"maxReplicas":0}}}"#,
                "x",
                Same,
            ),
            (
                r#"{"scale":{"on":true}}"#,
                r#"{"scale":{"on":true,"hpa":{"minReplicas":1,"maxReplicas":1}}}"#,
                "x",
                Different,
            ),
            (r#"{"a":1,"probe":{}}"#, r#"{"a":1}"#, "x", Same),
            (r#"{"a":1}"#, r#"{"a":1,"other":{}}"#, "x", Different),
        ] {
            assert_eq!(comparison(from, to, owner), expected, "{from} {to}");
        }
    }

    #[test]
    fn every_verdict() {
        use Comparison::{Autoscaled, Different, Same, Unknown};
        for (before, comparison, expected) in [
            (Before::Nothing, Unknown, Verdict::Baseline),
            (Before::Adjacent, Same, Verdict::Quiet),
            (Before::Adjacent, Autoscaled, Verdict::Quiet),
            (Before::Adjacent, Different, Verdict::Change { told: true }),
            (Before::Adjacent, Unknown, Verdict::Change { told: false }),
            (Before::Apart, Same, Verdict::Quiet),
            (Before::Apart, Autoscaled, Verdict::Quiet),
            (Before::Apart, Different, Verdict::Change { told: false }),
            (Before::Apart, Unknown, Verdict::Change { told: false }),
        ] {
            assert_eq!(
                decide(before, comparison),
                expected,
                "{before:?} {comparison:?}"
            );
        }
    }
}
