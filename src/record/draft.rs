//! One decided generation as a Revision that is ready to be written. Pure.

use super::decide::Verdict;
use super::managed::{Author, Fingerprint, ManagedFieldsEntry, author};
use super::tracked::Predecessor;
use crate::content;
use crate::json::Value;
use crate::kinds::Kind;
use crate::redact::Names;
use crate::revision::{
    LABEL_WORKLOAD_KIND, LABEL_WORKLOAD_UID, Revision, RevisionSpec, RevisionType,
    SnapshotEncoding, Source, TimeSource, Workload, identity,
};
use crate::snapshot::{Packed, stored};
use crate::text::visible;
use crate::view::diff::{Deltas, Segment};
use crate::view::{self, History};
use crate::workload::Change;
use chrono::{DateTime, Utc};
use kube::api::ObjectMeta;
use std::collections::BTreeMap;
use std::io;

/// The annotation that `kubectl --record` and people write.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// The parts of which a Revision is made.
pub(super) struct Draft<'a> {
    pub(super) kind: &'a Kind,
    pub(super) change: &'a Change,
    pub(super) object: Value<'a>,
    pub(super) verdict: Verdict,
    /// The Revision before this one; none in a Baseline and after a hole.
    pub(super) predecessor: Option<Predecessor>,
    /// Against the generation before; empty when that is not known.
    pub(super) deltas: &'a Deltas<'a>,
    pub(super) entries: &'a [ManagedFieldsEntry<'a>],
    pub(super) fingerprints: &'a [Fingerprint],
    pub(super) packed: &'a Packed,
    pub(super) encoding: SnapshotEncoding,
    pub(super) names: &'a Names,
    pub(super) now: DateTime<Utc>,
}

impl Draft<'_> {
    /// The Revision.
    ///
    /// # Errors
    /// Never in practice: the snapshot was packed by this process.
    pub(super) fn revision(&self) -> io::Result<Revision> {
        let Change {
            uid, generation, ..
        } = *self.change;
        let metadata = ObjectMeta {
            name: Some(identity::name(&self.change.name, uid, generation)),
            namespace: Some(self.change.namespace.clone()),
            labels: Some(BTreeMap::from([
                (LABEL_WORKLOAD_UID.to_owned(), uid.to_string()),
                (LABEL_WORKLOAD_KIND.to_owned(), self.kind.kind.clone()),
            ])),
            ..ObjectMeta::default()
        };
        let mut revision = Revision {
            metadata,
            spec: self.spec()?,
            status: None,
        };
        revision.fit();
        Ok(revision)
    }

    fn spec(&self) -> io::Result<RevisionSpec> {
        let change = self.change;
        let author = self.author();
        let (change_time, change_time_source) = match author.as_ref().and_then(|a| a.time) {
            Some(time) => (time, TimeSource::ManagedFields),
            None => (self.now, TimeSource::Observed),
        };
        Ok(RevisionSpec {
            id: identity::id(change.uid, change.generation),
            r#type: if self.verdict == Verdict::Baseline {
                RevisionType::Baseline
            } else {
                RevisionType::Change
            },
            workload: Workload {
                api_version: change.resource.api_version(),
                kind: change.resource.kind.clone(),
                name: change.name.clone(),
                uid: change.uid,
            },
            generation: change.generation,
            resource_version: change.resource_version.to_string(),
            observed_via: change.seen,
            change_time,
            change_time_source,
            via: author.map(|author| author.via),
            change_cause: self.change_cause(),
            source: source(self.object),
            content_digest: Some(self.packed.digest.to_string()),
            previous: self.predecessor.map(Predecessor::named),
            gap: None,
            snapshot: Some(stored(self.packed, self.encoding)?),
            expunged: None,
            view: view::view(self.kind, self.object, self.history(), self.names),
        })
    }

    /// The cause that its author gave this change, without secrets. An annotation that is as it was before is the cause
    /// of an earlier change.
    fn change_cause(&self) -> Option<String> {
        let cause = annotation(self.object, CHANGE_CAUSE)?;
        let before = self.deltas.objects[0].and_then(|before| annotation(before, CHANGE_CAUSE));
        (before != Some(cause)).then(|| visible(&self.names.text(cause)).into_owned())
    }

    fn history(&self) -> History<'_> {
        match self.verdict {
            Verdict::Baseline => History::First {
                generation: self.change.generation,
            },
            Verdict::Change { told: true } => History::Changed(self.deltas),
            Verdict::Change { told: false } | Verdict::Quiet => History::Unknown,
        }
    }

    /// The author of the changes that are listed; when none are, the last writer of the content.
    fn author(&self) -> Option<Author> {
        let told = self.verdict == Verdict::Change { told: true };
        if !told {
            let fields: Vec<_> = content::fields(self.object)
                .into_iter()
                .map(|(name, _)| [Segment::Key(name)])
                .collect();
            let paths: Vec<_> = fields.iter().map(<[_; 1]>::as_slice).collect();
            return author(self.entries, self.fingerprints, &paths, false);
        }
        let present: Vec<_> = self
            .deltas
            .list
            .iter()
            .filter(|d| d.to.is_some())
            .map(|d| d.path.as_slice())
            .collect();
        let removed = self.deltas.list.iter().any(|d| d.to.is_none());
        author(self.entries, self.fingerprints, &present, removed)
    }
}

fn annotation<'d>(object: Value<'d>, key: &str) -> Option<&'d str> {
    object.at(&["metadata", "annotations", key])?.as_str()
}

fn label<'d>(object: Value<'d>, key: &str) -> Option<&'d str> {
    object.at(&["metadata", "labels", key])?.as_str()
}

/// The delivery tool that marked the workload: Argo CD's tracking id or label, Flux' labels, Helm's annotation.
fn source(object: Value<'_>) -> Option<Source> {
    let (tool, name) = argo_cd(object)
        .map(|name| ("ArgoCD", name))
        .or_else(|| flux(object).map(|name| ("Flux", name)))
        .or_else(|| helm(object).map(|name| ("Helm", name)))?;
    Some(Source {
        tool: tool.to_owned(),
        name: name.to_owned(),
    })
}

fn argo_cd(object: Value<'_>) -> Option<&str> {
    annotation(object, "argocd.argoproj.io/tracking-id")
        .and_then(|id| id.split(':').next())
        .or_else(|| label(object, "argocd.argoproj.io/instance"))
}

fn flux(object: Value<'_>) -> Option<&str> {
    label(object, "kustomize.toolkit.fluxcd.io/name")
        .or_else(|| label(object, "helm.toolkit.fluxcd.io/name"))
}

fn helm(object: Value<'_>) -> Option<&str> {
    annotation(object, "meta.helm.sh/release-name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    #[test]
    fn the_delivery_tool_is_known_by_its_marks() {
        for (metadata, expected) in [
            (
                r#""annotations":{"argocd.argoproj.io/tracking-id":"shop:apps/Deployment:n/x"}"#,
                Some(("ArgoCD", "shop")),
            ),
            (
                r#""labels":{"argocd.argoproj.io/instance":"shop"}"#,
                Some(("ArgoCD", "shop")),
            ),
            (
                r#""labels":{"kustomize.toolkit.fluxcd.io/name":"k"}"#,
                Some(("Flux", "k")),
            ),
            (
                r#""annotations":{"meta.helm.sh/release-name":"r"}"#,
                Some(("Helm", "r")),
            ),
            (r#""labels":{"app":"x"}"#, None),
            (r#""labels":1"#, None),
        ] {
            let text = format!("{{\"metadata\":{{{metadata}}}}}");
            let found =
                source(Document::parse(&text).expect("valid").root()).map(|s| (s.tool, s.name));
            assert_eq!(
                found,
                expected.map(|(t, n)| (t.to_owned(), n.to_owned())),
                "{metadata}"
            );
        }
    }
}
