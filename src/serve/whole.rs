//! Whole workloads, which the API server has: as they were, and how two of them differ.
//!
//! Unpacking, comparing and writing them takes a while, so it is done beside the other requests, and only so many
//! at a time: a request returns its permit when its work ends, even when its caller has left before.

use super::answer::{Answer, JSON, prefers};
use super::api::Api;
use super::auth::Caller;
use super::error::ApiError;
use super::route::Query;
use crate::cache::{Scope, ServedRevision};
use crate::json::without_value;
use crate::manifest::{Manifest, ManifestError};
use crate::revision::Revision;
use http::request::Parts;
use kube::Api as Resources;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use uuid::Uuid;

const YAML: &str = "application/yaml";
const YAMLS: &[&str] = &[YAML, "application/x-yaml", "text/yaml"];
const PATCH: &str = "application/json-patch+json";
const TEXT: &str = "text/x-diff";
const TEXTS: &[&str] = &[
    TEXT,
    "text/x-patch",
    "text/plain",
    YAML,
    "application/x-yaml",
    "text/yaml",
];
/// The longest that waiting for a permit, reading one Revision from the API server, and working on it may take each.
const DEADLINE: Duration = Duration::from_secs(10);

const UNREACHABLE: ApiError =
    ApiError::Unavailable("the API server cannot be asked for the snapshot now");
const CROWDED: ApiError = ApiError::Unavailable("too many snapshots are being read");
const SLOW: ApiError = ApiError::Unavailable("reading the snapshot takes too long");

/// A Revision from the API server, which has its snapshot.
struct SnapshotSource {
    revision: Revision,
    name: String,
    title: String,
}

/// `GET /api/revisor/v1/revisions/{id}/snapshot`.
pub(super) async fn snapshot(
    api: &Api,
    scope: &Scope,
    revision: Uuid,
    parts: &Parts,
) -> Result<Answer, ApiError> {
    let as_yaml = prefers(&parts.headers, JSON, YAMLS);
    let found = find(api, scope, revision)?;
    let permit = permit(api).await?;
    let stored = stored(api, &found).await?;
    let names = api.names.clone();
    aside(permit, move || {
        let mut workload = stored.manifest()?;
        workload.remove_notes();
        workload.hide(&names);
        let (media, body) = if as_yaml {
            (YAML, workload.yaml())
        } else {
            (JSON, workload.json())
        };
        let body = body.map_err(|error| stored.failure(&error))?;
        Ok(Answer::new(media, body).redacted(workload.hidden()))
    })
    .await
}

/// `GET /api/revisor/v1/revisions/{id}/diff?from={id}`.
pub(super) async fn diff(
    api: &Api,
    scope: &Scope,
    revision: Uuid,
    query: &Query,
    caller: Option<&Caller>,
    parts: &Parts,
) -> Result<Answer, ApiError> {
    let to = find(api, scope, revision)?;
    let from_id = query
        .from
        .or(to.before)
        .ok_or_else(|| ApiError::NotFound(format!("a revision before {revision}")))?;
    let scope = api.permit_revision(caller, from_id).await?;
    let from = find(api, &scope, from_id)?;
    let as_text = prefers(&parts.headers, PATCH, TEXTS);
    // Most callers that name a type at all name JSON.
    let media = if prefers(&parts.headers, JSON, &[PATCH]) {
        PATCH
    } else {
        JSON
    };
    let permit = permit(api).await?;
    let old = stored(api, &from).await?;
    let new = stored(api, &to).await?;
    let names = api.names.clone();
    aside(permit, move || {
        let mut before = old.manifest()?;
        let mut after = new.manifest()?;
        before.remove_notes();
        after.remove_notes();
        Manifest::hide_both(&mut before, &mut after, &names);
        let (media, body) = if as_text {
            let titles = [old.title.as_str(), new.title.as_str()];
            (TEXT, Manifest::unified(&before, &after, titles))
        } else {
            (media, Manifest::patch(&before, &after))
        };
        let body = body.map_err(|error| new.failure(&error))?;
        Ok(Answer::new(media, body).redacted(Manifest::hidden_in_both(&before, &after)))
    })
    .await
}

fn find(api: &Api, scope: &Scope, id: Uuid) -> Result<ServedRevision, ApiError> {
    api.cache
        .get(scope, id)
        .ok_or_else(|| ApiError::NotFound(format!("revision {id}")))
}

/// One of the few permits for this work.
async fn permit(api: &Api) -> Result<OwnedSemaphorePermit, ApiError> {
    timeout(DEADLINE, api.fetches.clone().acquire_owned())
        .await
        .map_err(|_| CROWDED)?
        .map_err(|_| ApiError::Internal)
}

/// Does work that takes a while on a thread for blocking work. A caller that leaves does not end the work, which keeps
/// its permit until it is done.
async fn aside<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let working = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    match timeout(DEADLINE, working).await {
        Ok(done) => done.map_err(|_| ApiError::Internal)?,
        Err(_) => Err(SLOW),
    }
}

/// Snapshots are not kept in memory; the API server has them.
async fn stored(api: &Api, found: &ServedRevision) -> Result<SnapshotSource, ApiError> {
    let workload = &found.workload;
    let revisions: Resources<Revision> =
        Resources::namespaced(api.client.clone(), &workload.namespace);
    let name = found.name();
    let revision = match timeout(DEADLINE, revisions.get_opt(&name)).await {
        Ok(Ok(stored)) => stored.ok_or_else(|| ApiError::NotFound(format!("revision {name}")))?,
        Ok(Err(error)) => {
            let error = without_value(&error);
            tracing::warn!(error, name, "a Revision cannot be read");
            return Err(UNREACHABLE);
        }
        Err(_) => return Err(UNREACHABLE),
    };
    let title = format!("{} revision {}", workload.name, found.generation);
    Ok(SnapshotSource {
        revision,
        name,
        title,
    })
}

impl SnapshotSource {
    /// The workload as it was, with its secrets.
    fn manifest(&self) -> Result<Manifest, ApiError> {
        Manifest::read(&self.revision).map_err(|error| self.failure(&error))
    }

    /// The answer to a caller who gets no workload. Only what an operator can mend is logged.
    fn failure(&self, error: &ManifestError) -> ApiError {
        let name = &self.name;
        match error {
            ManifestError::NotStored(..) => {
                ApiError::NotFound(format!("the snapshot of revision {name}"))
            }
            ManifestError::TooDeep(_) => ApiError::NotShown(format!(
                "the snapshot of revision {name} is nested too deeply to be shown; `kubectl get revision {name}` has it"
            )),
            ManifestError::TooWide(_, parts) => ApiError::NotShown(format!(
                "the snapshot of revision {name} has {parts} parts, too many to be shown; `kubectl get revision {name}` has it"
            )),
            ManifestError::Unwritable(..) => ApiError::NotShown(format!(
                "the snapshot of revision {name} cannot be written in this format"
            )),
            ManifestError::Damaged(..) => {
                tracing::error!(%error, name, "a snapshot cannot be read");
                ApiError::Internal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_permit_is_held_until_the_work_is_done_whoever_waits_for_it() {
        let permits = Arc::new(Semaphore::new(1));
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let permit = permits.clone().acquire_owned().await.expect("a permit");
        let caller = tokio::spawn(aside(permit, move || {
            let _ = ended.recv();
            Ok(())
        }));
        // Others go on meanwhile, on the one thread that there is.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!caller.is_finished());
        caller.abort();
        let _ = caller.await;
        assert_eq!(
            permits.available_permits(),
            0,
            "the work goes on without its caller"
        );
        end.send(()).expect("it waits");
        let again = timeout(Duration::from_secs(5), permits.acquire()).await;
        assert!(again.is_ok_and(|permit| permit.is_ok()));
    }
}
