//! A workload that was deleted, created again from a revision.

use super::super::live::{Answer, send};
use super::super::streams::Streams;
use super::{DryRun, Rollback, refs, told, wait};
use crate::history::noise::is_note;
use crate::history::owner::{Owner, TRACKING, owner};
use crate::history::rfc3339;
use crate::manifest::Manifest;
use anyhow::bail;
use http::Method;
use serde_json::{Map, Value};

impl Rollback<'_> {
    /// Creates the workload again.
    pub(super) async fn restore(&self, streams: &mut Streams) -> anyhow::Result<u8> {
        let target = self.found.target();
        let owner = owner(&self.old);
        self.warn_of(owner.as_ref(), streams)?;
        let object = restored(
            &self.old,
            &self.place.resource.api_version(),
            owner.is_some(),
        );
        for note in refs::missing(&self.scene.session, &self.place.namespace, &self.old).await? {
            streams.warn(&note)?;
        }
        if self.args.dry_run != DryRun::Client && !self.args.skip_dry_run {
            let answer = self.create(&object, true).await?;
            self.is_created(&answer)?;
            for note in told::of_answer(&object, &answer.body)
                .iter()
                .chain(&answer.warnings)
            {
                streams.warn(note)?;
            }
        }
        let mut manifest = Manifest::live(object.clone(), &self.revision);
        if let Some(names) = &self.scene.settings.names {
            manifest.hide(names);
        }
        streams.print(&manifest.yaml()?)?;
        if self.args.dry_run != DryRun::None {
            streams.note("Nothing was created (dry run).")?;
            return Ok(0);
        }
        let question = format!(
            "Create {target} in {} from revision {}?",
            self.place.namespace,
            self.generation()
        );
        if !self.confirm(&question, streams)? {
            return Ok(1);
        }
        let answer = self.create(&object, false).await?;
        self.is_created(&answer)?;
        streams.print(&format!(
            "{target} restored from revision {}\n",
            self.generation()
        ))?;
        let generation = answer.body["metadata"]["generation"].as_i64().unwrap_or(1);
        if self.args.wait {
            wait::wait(self, generation, streams).await
        } else {
            Ok(0)
        }
    }

    fn warn_of(&self, owner: Option<&Owner>, streams: &mut Streams) -> anyhow::Result<()> {
        let target = self.found.target();
        match self.found.life.deleted_at() {
            Some(time) => streams.note(&format!(
                "{target} was deleted at {}; it is created again.",
                rfc3339(time)
            ))?,
            None => streams.note(&format!("{target} is not there; it is created again."))?,
        }
        if let Some(owner) = owner {
            let owned = format!("{target} was owned by {} ({})", owner.tool, owner.name);
            if !self.args.force && self.args.dry_run == DryRun::None {
                bail!(
                    "{owned}, which deleted it or creates it again: restore it there, or --force it"
                );
            }
            streams.warn(&format!(
                "{owned}: it is created without the marks of that tool"
            ))?;
        }
        streams.warn(
            "owners, finalizers and the last-applied-configuration are not recorded: the first `kubectl apply` \
             warns of that, and does not remove fields that its file does not have",
        )?;
        Ok(())
    }

    async fn create(&self, object: &Value, is_dry: bool) -> anyhow::Result<Answer> {
        let manager = crate::history::managed::MANAGER;
        let dry = if is_dry { "&dryRun=All" } else { "" };
        let path = format!("{}?fieldManager={manager}{dry}", self.place.collection());
        send(
            &self.scene.session,
            Method::POST,
            &path,
            Some("application/json"),
            object,
        )
        .await
    }

    fn is_created(&self, answer: &Answer) -> anyhow::Result<()> {
        let namespace = &self.place.namespace;
        let is_terminating = answer.body["details"]["causes"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it["reason"] == "NamespaceTerminating"));
        match answer.code {
            _ if answer.is_success() => Ok(()),
            403 if is_terminating => {
                bail!("namespace {namespace} is being deleted: nothing can be created in it")
            }
            404 => bail!("namespace {namespace} is not there: create it first"),
            409 => bail!(
                "{} is there again: it was created meanwhile",
                self.found.target()
            ),
            403 => Err(self.place.refused(&self.scene.session, "create", answer)),
            _ => Err(self.refused(answer, "is refused")),
        }
    }
}

/// The object to create: its names, and everything that is no note of a controller, nor of an owner that is gone.
fn restored(old: &Value, api_version: &str, without_marks: bool) -> Value {
    let mut object = old.clone();
    let kind = old["kind"].as_str().unwrap_or_default();
    object["apiVersion"] = api_version.into();
    let keeps = |key: &str| !(is_note(kind, key) || (without_marks && TRACKING.contains(&key)));
    let kept = |map: &Value| -> Option<Map<String, Value>> {
        let map = map.as_object()?.iter().filter(|(key, _)| keeps(key));
        Some(
            map.map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        )
    };
    let mut metadata = Map::new();
    for name in ["name", "namespace"] {
        metadata.insert(name.to_owned(), old["metadata"][name].clone());
    }
    for name in ["labels", "annotations"] {
        if let Some(map) = kept(&old["metadata"][name]).filter(|map| !map.is_empty()) {
            metadata.insert(name.to_owned(), map.into());
        }
    }
    object["metadata"] = metadata.into();
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_labels_and_notes_of_people_are_restored_and_nothing_else() {
        let old = json!({"apiVersion": "apps/v1beta1", "kind": "Deployment", "spec": {"replicas": 2}, "metadata": {
            "name": "x", "namespace": "n", "uid": "u", "labels": {"app": "x", "kapp.k14s.io/app": "1"},
            "annotations": {"deployment.kubernetes.io/revision": "3", "note": "1"}}});
        let expected = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}, "metadata": {
            "name": "x", "namespace": "n", "labels": {"app": "x", "kapp.k14s.io/app": "1"}, "annotations": {"note": "1"}}});
        assert_eq!(restored(&old, "apps/v1", false), expected);
        assert_eq!(
            restored(&old, "apps/v1", true)["metadata"]["labels"],
            json!({"app": "x"})
        );
    }
}
