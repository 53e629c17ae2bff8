//! `revisor reindex`: makes the views of stored Revisions anew, after an upgrade or a change of kind files.

use crate::client::Clients;
use crate::clock;
use crate::config::{ClusterArgs, Config};
use crate::json::Document;
use crate::kinds::Catalogue;
use crate::metrics::Metrics;
use crate::record::extract::Extractor;
use crate::record::queue::Unviewed;
use crate::redact::Names;
use crate::revision::identity;
use crate::revision::{FIELD_MANAGER, Revision, View};
use crate::snapshot;
use crate::view::again;
use clap::Args;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use std::path::PathBuf;
use std::time::Duration;

const PAGE: u32 = 200;
const PROGRESS: Duration = Duration::from_secs(2);
/// How often one Revision is tried while others write it too.
const TRIES: usize = 5;

/// Flags of `revisor reindex`.
#[derive(Args, Debug, Clone)]
pub struct ReindexArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Configuration file to take kinds and redaction from
    #[arg(
        long,
        env = "REVISOR_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,
    /// Only this namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Revisions by result.
#[derive(Default)]
struct Count {
    read: usize,
    rewritten: usize,
    unchanged: usize,
    without: usize,
    failed: usize,
}

/// The result for one Revision.
enum ReindexResult {
    Rewritten,
    Unchanged,
    /// There is nothing to make a view from, or it is gone.
    Without,
}

/// All that one run works with.
struct Reindex {
    client: Client,
    catalogue: Catalogue,
    names: Names,
    extractor: Extractor,
    dry_run: bool,
}

/// Rewrites what differs.
///
/// # Errors
/// When Revisions cannot be read, or some could not be rewritten.
pub(super) async fn reindex(args: &ReindexArgs) -> anyhow::Result<String> {
    let config = Config::load(args.config.as_deref())?;
    let kubeconfig = args.cluster.kubeconfig.as_deref();
    let client = Clients::connect(kubeconfig).await?.call;
    let names = config.settings.names;
    let reindex = Reindex {
        client,
        catalogue: config.catalogue,
        extractor: Extractor::new(names.clone(), &Metrics::new()),
        names,
        dry_run: args.dry_run,
    };
    reindex.run(args.namespace.as_deref()).await
}

impl Reindex {
    async fn run(&self, namespace: Option<&str>) -> anyhow::Result<String> {
        let all: Api<Revision> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let mut count = Count::default();
        let mut progress = clock::monotonic();
        let mut params = ListParams::default().limit(PAGE);
        // By name, so that what comes before a Revision is mostly the generation before it.
        let mut last: Option<Revision> = None;
        loop {
            let page = all.list(&params).await?;
            for revision in page.items {
                self.rewrite_and_count(&revision, last.as_ref(), &mut count)
                    .await;
                last = Some(revision);
                if progress.elapsed() > PROGRESS {
                    eprintln!(
                        "{} Revisions read, {} rewritten",
                        count.read, count.rewritten
                    );
                    progress = clock::monotonic();
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return self.summary(&count),
            }
        }
    }

    fn summary(&self, count: &Count) -> anyhow::Result<String> {
        let Count {
            read,
            rewritten,
            unchanged,
            without,
            failed,
        } = count;
        anyhow::ensure!(
            *failed == 0,
            "{failed} of {read} Revisions could not be rewritten ({rewritten} were)"
        );
        let verb = if self.dry_run {
            "would be rewritten"
        } else {
            "rewritten"
        };
        Ok(format!(
            "{read} Revisions: {rewritten} {verb}, {unchanged} up to date, {without} without a kind file or content\n"
        ))
    }

    async fn rewrite_and_count(
        &self,
        revision: &Revision,
        last: Option<&Revision>,
        count: &mut Count,
    ) {
        count.read += 1;
        match self.rewrite(revision.clone(), last).await {
            Ok(ReindexResult::Rewritten) => count.rewritten += 1,
            Ok(ReindexResult::Unchanged) => count.unchanged += 1,
            Ok(ReindexResult::Without) => count.without += 1,
            Err(error) => {
                count.failed += 1;
                let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
                let name = revision.metadata.name.as_deref().unwrap_or_default();
                eprintln!("{namespace}/{name}: {error:#}");
            }
        }
    }

    /// Rewrites one Revision by PUT with its resourceVersion, so that a view cannot overwrite the write of another
    /// client. After a conflict the Revision is read again, and its view rebuilt.
    async fn rewrite(
        &self,
        mut revision: Revision,
        last: Option<&Revision>,
    ) -> anyhow::Result<ReindexResult> {
        let name = revision.metadata.name.clone().unwrap_or_default();
        let namespace = revision.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Revision> = Api::namespaced(self.client.clone(), &namespace);
        let params = PostParams {
            dry_run: self.dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        for _ in 0..TRIES {
            let Some(view) = self.rebuild_view(&api, &revision, last).await? else {
                return Ok(ReindexResult::Without);
            };
            if revision.spec.view.as_ref() == Some(&view) {
                return Ok(ReindexResult::Unchanged);
            }
            revision.spec.view = Some(view);
            match api.replace(&name, &params, &revision).await {
                Ok(_) => return Ok(ReindexResult::Rewritten),
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    return Ok(ReindexResult::Without);
                }
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error.into()),
            }
            let Some(fresh) = api.get_opt(&name).await? else {
                return Ok(ReindexResult::Without);
            };
            revision = fresh;
        }
        anyhow::bail!("others wrote it {TRIES} times meanwhile")
    }

    /// The view as it would be recorded now; none when there is nothing to make it from.
    async fn rebuild_view(
        &self,
        api: &Api<Revision>,
        revision: &Revision,
        last: Option<&Revision>,
    ) -> anyhow::Result<Option<View>> {
        let (Some(unviewed), Some(old)) =
            (unviewed(&self.catalogue, revision), &revision.spec.view)
        else {
            return Ok(None);
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
        let workload = &revision.spec.workload;
        let name = identity::name(&workload.name, workload.uid, revision.spec.generation - 1);
        api.get_opt(&name)
            .await?
            .filter(|found| is_before(found, revision))
            .and_then(|found| found.spec.snapshot)
    };
    Ok(stored.and_then(|stored| snapshot::read(&stored).ok().flatten()))
}

/// Whether `other` holds the generation before that of `revision`, of the same workload.
fn is_before(other: &Revision, revision: &Revision) -> bool {
    other.spec.workload.uid == revision.spec.workload.uid
        && other.spec.generation == revision.spec.generation - 1
        && other.spec.gap.is_none()
}

fn unviewed(catalogue: &Catalogue, revision: &Revision) -> Option<Unviewed> {
    let workload = &revision.spec.workload;
    let kind = catalogue
        .kinds()
        .iter()
        .find(|kind| kind.kind == workload.kind && kind.group == workload.group())?
        .clone();
    let gzip = snapshot::compressed(revision.spec.snapshot.as_ref()?).ok()??;
    Some(Unviewed { kind, gzip })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Request, Response};
    use http_body_util::BodyExt;
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// A Revision of a Deployment with one variable.
    fn revision(generation: i64, pin: &str, version: &str) -> Value {
        let uid = "0b8e9f7e-0c52-4d41-8b9b-0a5d7a1b3c4d";
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "i", "env": [{"name": "DOOR_CODE", "value": pin}]}]}}}});
        json!({"apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
            "metadata": {"name": identity::name("d", uid.parse().expect("a uid"), generation), "namespace": "n", "resourceVersion": version},
            "spec": {"id": uid, "type": "Change", "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": uid},
                "generation": generation, "resourceVersion": "1", "observedVia": "Watch", "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
                "snapshot": {"encoding": "json", "size": 1, "data": object.to_string()},
                "view": {"version": 1, "summary": "env DOOR_CODE", "truncated": true,
                    "changes": [{"path": "spec.template.spec.containers[a].env[DOOR_CODE].value", "from": "1111", "to": pin}]}}})
    }

    /// An API server with two Revisions, of which it lists both or the newer one; the first PUT of each comes too late.
    async fn run(listed: usize, before: bool) -> (String, Vec<Value>) {
        let puts: Arc<Mutex<Vec<Value>>> = Arc::default();
        let written = puts.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let written = written.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await?.to_bytes();
                let all = [revision(1, "1111", "1"), revision(2, "2222", "1")];
                let at = usize::from(parts.uri.path().ends_with("-00002"));
                let (code, answer) = match (parts.method, parts.uri.path().ends_with("/revisions"))
                {
                    (Method::GET, true) => {
                        (200, json!({"metadata": {}, "items": all[2 - listed..]}))
                    }
                    (Method::GET, false) if at == 0 && !before => {
                        (404, json!({"code": 404, "reason": "NotFound"}))
                    }
                    (Method::GET, false) => (200, revision([1, 2][at], ["1111", "2222"][at], "2")),
                    _ => {
                        let put: Value = serde_json::from_slice(&bytes)?;
                        let late = put["metadata"]["resourceVersion"] == "1";
                        written.lock().push(put.clone());
                        if late {
                            (409, json!({"code": 409, "reason": "Conflict"}))
                        } else {
                            (200, put)
                        }
                    }
                };
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?)
            }
        });
        let names = Names {
            secret: vec!["*_CODE".parse().expect("a pattern")],
            plain: Vec::new(),
        };
        let extractor = Extractor::new(names.clone(), &Metrics::new());
        let client = Client::new(service, "default");
        let all = Reindex {
            client,
            catalogue: Catalogue::built_in(),
            names,
            extractor,
            dry_run: false,
        };
        let said = all.run(None).await.expect("a result");
        let puts = puts.lock().clone();
        (said, puts)
    }

    #[tokio::test]
    async fn what_is_a_secret_now_goes_from_the_changes_too_whoever_writes_meanwhile() {
        for (listed, before) in [(2, true), (1, true), (1, false)] {
            let (said, puts) = run(listed, before).await;
            assert!(
                said.starts_with(&format!("{listed} Revisions: {listed} rewritten")),
                "{said}"
            );
            assert_eq!(puts.len(), 2 * listed, "each was tried twice");
            for put in &puts {
                let view = put["spec"]["view"].to_string();
                assert!(!view.contains("1111") && !view.contains("2222"), "{view}");
            }
            let newest = &puts.last().expect("a put")["spec"]["view"];
            let path = "spec.template.spec.containers[a].env[DOOR_CODE].value";
            assert_eq!(
                newest["changes"],
                json!([{"path": path, "from": "[redacted]", "to": "[redacted, changed]"}])
            );
            assert_eq!(
                (&newest["summary"], &newest["env"]),
                (&json!("env DOOR_CODE"), &json!("DOOR_CODE='[redacted]'"))
            );
            assert_eq!(
                newest["truncated"],
                if before { Value::Null } else { json!(true) }
            );
        }
    }
}
