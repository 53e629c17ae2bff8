//! Whole workloads, which the API server has: as they were, and how two of them differ.
//!
//! Unpacking, comparing and writing them takes a while, so it is done beside the requests of everybody else, and only so
//! many at a time: the place that a request has ends with its work, not with its caller.

use super::answer::{Answer, JSON, prefers};
use super::api::Api;
use super::auth::Caller;
use super::error::ApiError;
use super::route::Query;
use crate::cache::ServedRevision;
use crate::history::{HistoryError, manifest};
use crate::revision::{Revision, identity};
use crate::view::redact::Names;
use http::request::Parts;
use kube::Api as Resources;
use serde_json::Value;
use similar::TextDiff;
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
/// What waiting for a place, reading one Revision from the API server, and working on it may take each.
const DEADLINE: Duration = Duration::from_secs(10);
/// After so long the rest of two texts is compared more coarsely.
const COMPARING: Duration = Duration::from_secs(2);

const UNREACHABLE: ApiError =
    ApiError::Unavailable("the API server cannot be asked for the snapshot now");
const CROWDED: ApiError = ApiError::Unavailable("too many snapshots are being read");
const SLOW: ApiError = ApiError::Unavailable("reading the snapshot takes too long");

/// A Revision with its snapshot.
struct Stored {
    revision: Revision,
    name: String,
    title: String,
}

/// `GET /api/revisor/v1/revisions/{id}/snapshot`.
pub(super) async fn snapshot(api: &Api, revision: Uuid, parts: &Parts) -> Result<Answer, ApiError> {
    let as_yaml = prefers(&parts.headers, JSON, YAMLS);
    let found = found(api, revision)?;
    let place = place(api).await?;
    let (stored, names) = (stored(api, &found).await?, api.names.clone());
    aside(place, move || {
        let workload = workload(&stored, &names)?;
        if as_yaml {
            Ok(Answer::new(YAML, yaml(&workload, &stored.name)?))
        } else {
            Ok(Answer::new(JSON, json(&workload)?))
        }
    })
    .await
}

/// `GET /api/revisor/v1/revisions/{id}/diff?from={id}`.
pub(super) async fn diff(
    api: &Api,
    revision: Uuid,
    query: &Query,
    caller: Option<&Caller>,
    parts: &Parts,
) -> Result<Answer, ApiError> {
    let to = found(api, revision)?;
    let from = query.from.or(to.before);
    let from = from.ok_or_else(|| ApiError::NotFound(format!("a revision before {revision}")))?;
    api.permit_revision(caller, from).await?;
    let from = found(api, from)?;
    let as_text = prefers(&parts.headers, PATCH, TEXTS);
    // Most callers that name a type at all name JSON.
    let media = if prefers(&parts.headers, JSON, &[PATCH]) {
        PATCH
    } else {
        JSON
    };
    let place = place(api).await?;
    let (old, new, names) = (
        stored(api, &from).await?,
        stored(api, &to).await?,
        api.names.clone(),
    );
    aside(place, move || {
        let (before, after) = (workload(&old, &names)?, workload(&new, &names)?);
        if as_text {
            return Ok(Answer::new(TEXT, unified((&old, &before), (&new, &after))?));
        }
        let patch = serde_json::to_vec(&json_patch::diff(&before, &after))
            .map_err(|_| ApiError::Internal)?;
        Ok(Answer::new(media, patch))
    })
    .await
}

fn unified(
    (from, old): (&Stored, &Value),
    (to, new): (&Stored, &Value),
) -> Result<String, ApiError> {
    let (old, new) = (yaml(old, &from.name)?, yaml(new, &to.name)?);
    let diff = TextDiff::configure()
        .timeout(COMPARING)
        .diff_lines(&old, &new);
    Ok(diff
        .unified_diff()
        .context_radius(3)
        .header(&from.title, &to.title)
        .to_string())
}

fn found(api: &Api, id: Uuid) -> Result<ServedRevision, ApiError> {
    api.cache
        .get(id)
        .ok_or_else(|| ApiError::NotFound(format!("revision {id}")))
}

/// One of the few places for this work.
async fn place(api: &Api) -> Result<OwnedSemaphorePermit, ApiError> {
    let place = timeout(DEADLINE, api.fetches.clone().acquire_owned())
        .await
        .map_err(|_| CROWDED)?;
    place.map_err(|_| ApiError::Internal)
}

/// Does work that takes a while. Whoever does not wait for it to end leaves its place taken.
async fn aside<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let working = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    match timeout(DEADLINE, working).await {
        Ok(done) => done.map_err(|_| ApiError::Internal)?,
        Err(_) => Err(SLOW),
    }
}

/// Snapshots are not kept in memory; the API server has them.
async fn stored(api: &Api, found: &ServedRevision) -> Result<Stored, ApiError> {
    let place = &found.workload;
    let revisions: Resources<Revision> =
        Resources::namespaced(api.client.clone(), &place.namespace);
    let name = identity::name(&place.name, place.uid, found.generation);
    let revision = match timeout(DEADLINE, revisions.get_opt(&name)).await {
        Ok(Ok(stored)) => stored.ok_or_else(|| ApiError::NotFound(format!("revision {name}")))?,
        Ok(Err(error)) => {
            tracing::warn!(%error, name, "a Revision cannot be read");
            return Err(UNREACHABLE);
        }
        Err(_) => return Err(UNREACHABLE),
    };
    let title = format!("{} revision {}", place.name, found.generation);
    Ok(Stored {
        revision,
        name,
        title,
    })
}

/// The workload as it was, without what looks secret.
fn workload(stored: &Stored, names: &Names) -> Result<Value, ApiError> {
    let name = &stored.name;
    let broken = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, name, "a snapshot cannot be read");
        ApiError::Internal
    };
    let text = manifest(&stored.revision).map_err(|error| match error {
        HistoryError::NoContent(..) => {
            ApiError::NotFound(format!("the snapshot of revision {name}"))
        }
        error => broken(&error),
    })?;
    let mut workload = match serde_json::from_str(&text) {
        Ok(workload) => workload,
        // What cannot be walked cannot be cleared of what looks secret, and is not shown.
        Err(error) if too_deep(&error) => {
            return Err(ApiError::NotShown(format!(
                "the snapshot of revision {name} is nested too deeply to be shown; `kubectl get revision {name}` has it"
            )));
        }
        Err(error) => return Err(broken(&error)),
    };
    names.object(&mut workload);
    Ok(workload)
}

/// serde_json reads 127 levels, and tells in words only that there are more.
fn too_deep(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("recursion limit exceeded")
}

fn yaml(value: &Value, name: &str) -> Result<String, ApiError> {
    let unfit = |_| {
        ApiError::NotShown(format!(
            "the snapshot of revision {name} cannot be written as YAML"
        ))
    };
    serde_saphyr::to_string(value).map_err(unfit)
}

fn json(value: &Value) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|_| ApiError::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_place_is_taken_until_the_work_is_done_whoever_waits_for_it() {
        let places = Arc::new(Semaphore::new(1));
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let place = places.clone().acquire_owned().await.expect("a place");
        let caller = tokio::spawn(aside(place, move || {
            let _ = ended.recv();
            Ok(())
        }));
        // Others go on meanwhile, on the one thread that there is.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!caller.is_finished());
        caller.abort();
        let _ = caller.await;
        assert_eq!(
            places.available_permits(),
            0,
            "the work goes on without its caller"
        );
        end.send(()).expect("it waits");
        let again = timeout(Duration::from_secs(5), places.acquire()).await;
        assert!(again.is_ok_and(|place| place.is_ok()));
    }

    #[test]
    fn what_takes_too_long_to_compare_is_compared_coarsely() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut text = || -> Vec<_> { (0..120_000).map(|_| random.u32(..50)).collect() };
        let stored = || {
            let revision = crate::cache::fixture(1);
            Stored {
                revision,
                name: "n".to_owned(),
                title: "t".to_owned(),
            }
        };
        let (old, new) = (serde_json::json!(text()), serde_json::json!(text()));
        let started = clock::monotonic();
        let diff = unified((&stored(), &old), (&stored(), &new)).expect("a diff");
        assert!(started.elapsed() < DEADLINE, "{:?}", started.elapsed());
        assert!(diff.starts_with("--- t\n+++ t\n"));
    }
}
