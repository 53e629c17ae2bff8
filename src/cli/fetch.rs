//! Revisions from the API server, page by page. While one page is read, the next is under way.

use super::connection::Session;
use super::failure::REVISIONS;
use crate::client::page::page;
use crate::history::same::{Normal, known_normal_of};
use crate::json::without_value;
use crate::kinds::{Catalogue, Kind};
use crate::revision::Revision;
use anyhow::{Context, anyhow};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// As many as kubectl asks for at a time.
const PAGE: usize = 500;
/// As many are read on one thread at a time.
const SHARE: usize = 128;

/// How much of each Revision is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Everything.
    All,
    /// Everything but the snapshot, of whose content only the normal form is kept.
    Normal,
    /// Everything but the snapshot.
    Heads,
}

/// Revisions, and the normal forms of their contents by workload and generation.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// In the order of the API server.
    pub(super) revisions: Vec<Revision>,
    /// Those that were asked for.
    pub(super) normals: BTreeMap<(Uuid, i64), Normal>,
}

/// Lists Revisions.
pub(super) async fn revisions(
    session: &Session,
    namespace: Option<&str>,
    selector: &[(&str, &str)],
    keep: Keep,
    catalogue: &Catalogue,
) -> anyhow::Result<Fetched> {
    let path = collection(namespace, selector);
    let mut token = String::new();
    let mut readings = Vec::new();
    loop {
        let next = format!("{path}&continue={token}");
        let page = page(&session.client, &next, None).await;
        let page = page.map_err(|error| explain(session, error, namespace))?;
        let mut items = page.items.into_iter();
        while items.len() > 0 {
            let share: Vec<_> = items.by_ref().take(SHARE).collect();
            let catalogue = catalogue.clone();
            let read = move || read(&share, keep, &catalogue);
            readings.push(tokio::task::spawn_blocking(read));
        }
        if page.token.is_empty() {
            break;
        }
        token = page.token;
    }
    let mut all = Fetched::default();
    for reading in readings {
        let page = reading
            .await
            .context("a part of a page could not be read")??;
        all.revisions.extend(page.revisions);
        all.normals.extend(page.normals);
    }
    Ok(all)
}

fn collection(namespace: Option<&str>, selector: &[(&str, &str)]) -> String {
    let place = namespace.map_or_else(String::new, |it| format!("namespaces/{it}/"));
    let terms: Vec<_> = selector
        .iter()
        .map(|(field, value)| format!("{field}={value}"))
        .collect();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &PAGE.to_string());
    if !terms.is_empty() {
        query.append_pair("fieldSelector", &terms.join(","));
    }
    format!(
        "/apis/revisor.dev/v1alpha1/{place}revisions?{}",
        query.finish()
    )
}

fn explain(session: &Session, error: anyhow::Error, namespace: Option<&str>) -> anyhow::Error {
    match error.downcast::<kube::Error>() {
        Ok(error) => session.explain(error, "list", REVISIONS, namespace),
        Err(error) if error.is::<tokio::time::error::Elapsed>() => {
            anyhow!(
                "the API server at {} does not answer in time",
                session.server
            )
        }
        Err(error) => anyhow!("{}", without_value(&error)),
    }
}

fn read(items: &[Box<RawValue>], keep: Keep, catalogue: &Catalogue) -> anyhow::Result<Fetched> {
    let mut all = Fetched::default();
    for item in items {
        let mut revision: Revision = serde_json::from_str(item.get())
            .map_err(|error| anyhow!("a Revision cannot be read: {}", without_value(&error)))?;
        if keep == Keep::Normal
            && let Some(normal) =
                known_normal_of(kind_of(catalogue, &revision).as_deref(), &revision)
        {
            let key = (revision.spec.workload.uid, revision.spec.generation);
            all.normals.insert(key, normal);
        }
        if keep != Keep::All
            && let Some(snapshot) = &mut revision.spec.snapshot
        {
            snapshot.data = None;
        }
        all.revisions.push(revision);
    }
    Ok(all)
}

fn kind_of(catalogue: &Catalogue, revision: &Revision) -> Option<Arc<Kind>> {
    let workload = &revision.spec.workload;
    let kinds = catalogue.kinds().iter();
    let mut same = kinds.filter(|it| it.kind == workload.kind && it.group == workload.group());
    same.next().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_names_page_and_fields() {
        assert_eq!(
            collection(
                Some("ml"),
                &[("spec.workload.name", "x"), ("spec.workload.kind", "K")]
            ),
            "/apis/revisor.dev/v1alpha1/namespaces/ml/revisions?limit=500&fieldSelector=spec.workload.name%3Dx%2Cspec.workload.kind%3DK"
        );
        assert_eq!(
            collection(None, &[]),
            "/apis/revisor.dev/v1alpha1/revisions?limit=500"
        );
    }
}
