//! The Revisions of one workload, from the API server.

use super::{ConnectionArgs, WorkloadArgs};
use crate::json::without_value;
use crate::revision::Revision;
use anyhow::{Context, bail};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use std::collections::BTreeMap;
use uuid::Uuid;

const PAGE: u32 = 200;

/// Short names of kinds, beside their name and plural.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("deploy", "deployment"),
    ("sts", "statefulset"),
    ("isvc", "inferenceservice"),
    ("lws", "leaderworkerset"),
];

/// All Revisions of the workload that `target` names, oldest first.
pub(super) async fn history(
    connection: &ConnectionArgs,
    target: &WorkloadArgs,
) -> anyhow::Result<Vec<Revision>> {
    let Some((kind, name)) = target
        .workload
        .split_once('/')
        .filter(|(kind, name)| !kind.is_empty() && !name.is_empty())
    else {
        bail!(
            "{:?} is not TYPE/NAME, such as inferenceservice/llama-70b",
            target.workload
        );
    };
    let (client, namespace) = connect(connection).await?;
    let mut by_uid: BTreeMap<Uuid, Vec<Revision>> = BTreeMap::new();
    for revision in list(&client, &namespace, name).await? {
        let workload = &revision.spec.workload;
        if is_kind(kind, &workload.kind) {
            by_uid.entry(workload.uid).or_default().push(revision);
        }
    }
    let chosen = match target.uid {
        Some(uid) => by_uid.remove(&uid),
        // Of several that had the name one after the other, the one that changed last.
        None => by_uid
            .into_values()
            .max_by_key(|h| h.iter().map(|r| r.spec.change_time).max()),
    };
    let Some(mut history) = chosen else {
        bail!(
            "no revisions of {} in namespace {namespace}: is it recorded? (`revisor kinds --cluster`)",
            target.workload
        );
    };
    history.sort_by_key(|revision| revision.spec.generation);
    Ok(history)
}

async fn connect(connection: &ConnectionArgs) -> anyhow::Result<(Client, String)> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        ..KubeConfigOptions::default()
    };
    let mut config = match &connection.kubeconfig {
        Some(file) => Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await,
        None => Config::from_kubeconfig(&options).await,
    }
    .context("no kubeconfig to connect with")?;
    config.default_retry = false;
    config.read_timeout = Some(std::time::Duration::from_secs(30));
    let namespace = connection
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    Ok((Client::try_from(config)?, namespace))
}

async fn list(client: &Client, namespace: &str, name: &str) -> anyhow::Result<Vec<Revision>> {
    let api: Api<Revision> = Api::namespaced(client.clone(), namespace);
    let mut params = ListParams::default()
        .fields(&format!("spec.workload.name={name}"))
        .limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = api.list(&params).await.map_err(explain)?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

fn explain(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            anyhow::anyhow!("this cluster has no revisions.revisor.dev: Revisor is not installed")
        }
        kube::Error::Api(status) => anyhow::anyhow!("{}", status.message),
        // A Revision that cannot be read is not shown in its error either.
        other => anyhow::anyhow!("{}", without_value(&other)),
    }
}

/// Whether a person who typed this means the kind.
fn is_kind(typed: &str, kind: &str) -> bool {
    // `inferenceservices.serving.kserve.io` is how kubectl prints it.
    let name = typed.split('.').next().unwrap_or_default().to_lowercase();
    let singular = kind.to_lowercase();
    let long = SHORT_NAMES
        .iter()
        .find(|(short, _)| *short == name)
        .map(|(_, long)| *long);
    name == singular || name.strip_suffix('s') == Some(&singular) || long == Some(&singular)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_all_their_names() {
        for typed in [
            "InferenceService",
            "inferenceservices",
            "isvc",
            "inferenceservice.serving.kserve.io",
        ] {
            assert!(is_kind(typed, "InferenceService"), "{typed}");
        }
        assert!(!is_kind("deployment", "InferenceService") && !is_kind("", "Deployment"));
    }
}
