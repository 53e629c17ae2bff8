//! `revisor reindex`: makes the views of stored Revisions anew, after an upgrade or a change of kind files.

use crate::client::Clients;
use crate::config::{Config, ReindexArgs};
use crate::kinds::{Catalogue, Kind};
use crate::metrics::Metrics;
use crate::record::extract::Extractor;
use crate::record::queue::Unviewed;
use crate::record::snapshot;
use crate::revision::{FIELD_MANAGER, Revision};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PAGE: u32 = 200;
const PROGRESS: Duration = Duration::from_secs(2);

/// What was done.
#[derive(Default)]
struct Count {
    read: usize,
    rewritten: usize,
    unchanged: usize,
    without: usize,
    failed: usize,
}

/// Rewrites what differs. The list of changes and the summary stay: they depend on two Revisions.
///
/// # Errors
/// When Revisions cannot be read, or some could not be rewritten.
pub(super) async fn reindex(args: &ReindexArgs) -> anyhow::Result<String> {
    let config = Config::load(args.config.as_deref())?;
    let client = Clients::connect(&args.cluster).await?.call;
    let all: Api<Revision> = match &args.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let extractor = Extractor::new(config.settings.names.clone(), &Metrics::new());
    let mut count = Count::default();
    let mut said = Instant::now();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = all.list(&params).await?;
        for revision in page.items {
            one(args, &config.catalogue, &client, &extractor, revision, &mut count).await;
            if said.elapsed() > PROGRESS {
                eprintln!("{} Revisions read, {} rewritten", count.read, count.rewritten);
                said = Instant::now();
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let Count { read, rewritten, unchanged, without, failed } = count;
    anyhow::ensure!(failed == 0, "{failed} of {read} Revisions could not be rewritten ({rewritten} were)");
    let verb = if args.dry_run { "would be rewritten" } else { "rewritten" };
    Ok(format!(
        "{read} Revisions: {rewritten} {verb}, {unchanged} up to date, {without} without a kind file or content\n"
    ))
}

async fn one(
    args: &ReindexArgs,
    catalogue: &Catalogue,
    client: &Client,
    extractor: &Extractor,
    mut revision: Revision,
    count: &mut Count,
) {
    count.read += 1;
    let (Some(unviewed), Some(mut view)) = (unviewed(catalogue, &revision), revision.spec.view.clone())
    else {
        count.without += 1;
        return;
    };
    let name = revision.metadata.name.clone().unwrap_or_default();
    let namespace = revision.metadata.namespace.clone().unwrap_or_default();
    if let Err(reason) = extractor.complete(&mut view, &unviewed).await {
        count.failed += 1;
        eprintln!("{namespace}/{name}: the kind file's view.components failed: {reason}");
        return;
    }
    if revision.spec.view.as_ref() == Some(&view) {
        count.unchanged += 1;
        return;
    }
    revision.spec.view = Some(view);
    let api: Api<Revision> = Api::namespaced(client.clone(), &namespace);
    let params = PostParams { dry_run: args.dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
    // By PUT with its resourceVersion: a view cannot overwrite what somebody else has just written.
    match api.replace(&name, &params, &revision).await {
        Ok(_) => count.rewritten += 1,
        Err(error) => {
            count.failed += 1;
            eprintln!("{namespace}/{name}: {error}");
        }
    }
}

fn unviewed(catalogue: &Catalogue, revision: &Revision) -> Option<Unviewed> {
    let workload = &revision.spec.workload;
    let group = workload.api_version.split_once('/').map_or("", |(group, _)| group);
    let of = |kind: &&Arc<Kind>| kind.kind == workload.kind && kind.group == group && kind.view.is_some();
    let kind = catalogue.kinds().iter().find(of)?.clone();
    let gzip = snapshot::compressed(revision.spec.snapshot.as_ref()?).ok()??;
    Some(Unviewed { kind, gzip })
}
