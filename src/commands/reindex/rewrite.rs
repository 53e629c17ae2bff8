//! One Revision: its view as it would be recorded now, and the write of it.

use super::{Reindex, ReindexResult, kind_of};
use crate::client::backoff::{Waits, backoff};
use crate::json::Document;
use crate::kinds::Catalogue;
use crate::record::queue::Unviewed;
use crate::revision::identity;
use crate::revision::{FIELD_MANAGER, Revision, View};
use crate::snapshot;
use crate::view::{again, older_view};
use kube::Api;
use kube::api::PostParams;
use std::time::Duration;
use tokio::time::sleep;

/// How often one Revision is tried while others write it too, or the API server has no time.
const TRIES: u32 = 5;
const WAITS: Waits = (Duration::from_millis(200), Duration::from_secs(5));
/// Codes of failures that pass by themselves.
const PASSING: &[u16] = &[429, 500, 502, 503, 504];

/// The answer to one PUT.
enum Put {
    Done,
    Gone,
    /// Another client wrote it meanwhile.
    Conflict,
    Busy,
}

impl Reindex {
    /// Rewrites one Revision by PUT with its resourceVersion, so that a view cannot overwrite the write of another
    /// client. After a conflict the Revision is read again, and its view rebuilt.
    pub(super) async fn rewrite(
        &self,
        revision: &Revision,
        last: Option<&Revision>,
        same_as: Option<i64>,
    ) -> anyhow::Result<ReindexResult> {
        let name = revision.metadata.name.clone().unwrap_or_default();
        let namespace = revision.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Revision> = Api::namespaced(self.client.clone(), &namespace);
        let mut stored = revision.clone();
        for failures in 1..=TRIES {
            let Some(view) = self.rebuild_view(&api, &stored, last, same_as).await? else {
                return Ok(ReindexResult::Without);
            };
            if stored.spec.view.as_ref() == Some(&view) {
                return Ok(ReindexResult::Unchanged);
            }
            stored.spec.view = Some(view);
            match self.put(&api, &name, &mut stored).await? {
                Put::Done => return Ok(ReindexResult::Rewritten),
                Put::Gone => return Ok(ReindexResult::Without),
                Put::Conflict => {}
                Put::Busy => sleep(backoff(WAITS, failures)).await,
            }
            let Some(fresh) = api.get_opt(&name).await? else {
                return Ok(ReindexResult::Without);
            };
            stored = fresh;
        }
        anyhow::bail!("it was tried {TRIES} times: others write it, or the API server is busy")
    }

    async fn put(
        &self,
        api: &Api<Revision>,
        name: &str,
        revision: &mut Revision,
    ) -> anyhow::Result<Put> {
        let params = PostParams {
            dry_run: self.dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        // The API server keeps its own when there are none, and has less to read.
        revision.metadata.managed_fields = None;
        match api.replace(name, &params, revision).await {
            Ok(_) => Ok(Put::Done),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Put::Gone),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Put::Conflict),
            Err(kube::Error::Api(status)) if PASSING.contains(&status.code) => Ok(Put::Busy),
            Err(error) => Err(error.into()),
        }
    }

    /// The view as it would be recorded now; none when there is nothing to make it from.
    async fn rebuild_view(
        &self,
        api: &Api<Revision>,
        revision: &Revision,
        last: Option<&Revision>,
        same_as: Option<i64>,
    ) -> anyhow::Result<Option<View>> {
        let Some(old) = &revision.spec.view else {
            return Ok(None);
        };
        let Some(unviewed) = unviewed(&self.catalogue, revision) else {
            // Its view is judged again at least.
            let judged = older_view(&revision.spec, &self.names);
            return Ok(judged.filter(|judged| judged != old));
        };
        let before = if old.changes.is_empty() {
            None
        } else {
            before(api, revision, last).await?
        };
        let text = snapshot::unpack(&unviewed.gzip)?;
        let document = Document::parse(&text)?;
        let earlier = before
            .as_deref()
            .and_then(|text| Document::parse(text).ok());
        let Some(mut view) = again(
            &unviewed.kind,
            document.root(),
            earlier.as_ref().map(Document::root),
            old,
            &self.names,
        ) else {
            return Ok(None);
        };
        view.same_as = same_as;
        self.extractor
            .complete(&mut view, &unviewed)
            .await
            .map_err(|failure| {
                anyhow::anyhow!("the kind file's view.components failed: {failure}")
            })?;
        Ok(Some(view))
    }
}

/// The workload one generation before, when that is stored.
async fn before(
    api: &Api<Revision>,
    revision: &Revision,
    last: Option<&Revision>,
) -> anyhow::Result<Option<String>> {
    let stored = if let Some(last) = last.filter(|last| is_before(last, revision)) {
        last.spec.snapshot.clone()
    } else {
        neighbour(api, revision)
            .await?
            .and_then(|found| found.spec.snapshot)
    };
    Ok(stored.and_then(|stored| snapshot::read(&stored).ok().flatten()))
}

/// The Revision of the generation before, under the short form of its name or the long one.
async fn neighbour(api: &Api<Revision>, revision: &Revision) -> anyhow::Result<Option<Revision>> {
    let workload = &revision.spec.workload;
    let generation = revision.spec.generation - 1;
    for name in [
        identity::name(&workload.name, workload.uid, generation),
        identity::long_name(&workload.name, workload.uid, generation),
    ] {
        let found = api.get_opt(&name).await?;
        if let Some(found) = found.filter(|found| is_before(found, revision)) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether `other` holds the generation before that of `revision`, of the same workload.
fn is_before(other: &Revision, revision: &Revision) -> bool {
    other.spec.workload.uid == revision.spec.workload.uid
        && other.spec.generation == revision.spec.generation - 1
        && other.spec.gap.is_none()
}

fn unviewed(catalogue: &Catalogue, revision: &Revision) -> Option<Unviewed> {
    let kind = kind_of(catalogue, revision)?;
    let gzip = snapshot::compressed(revision.spec.snapshot.as_ref()?).ok()??;
    Some(Unviewed { kind, gzip })
}
