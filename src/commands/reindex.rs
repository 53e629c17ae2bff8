//! `revisor reindex`: makes the views of stored Revisions anew, after an upgrade or a change of kind files.
//!
//! Every Revision is read, and written only where its view differs from the one that is made now. So a run that was
//! killed is simply started again: the views that it has written are up to date by then. Several Revisions are under way at the
//! same time, as many as the recorder writes.

mod pages;
mod rewrite;

use crate::client::Clients;
use crate::clock;
use crate::config::{ClusterArgs, Config};
use crate::history::same::normal_of;
use crate::kinds::{Catalogue, Kind};
use crate::metrics::Metrics;
use crate::record::extract::Extractor;
use crate::redact::Names;
use crate::revision::{Revision, View};
use crate::view::normal::NewestSame;
use anyhow::Context;
use clap::Args;
use kube::{Api, Client};
use pages::Pages;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

/// So many Revisions are under way at the same time.
const CONCURRENCY: usize = 16;
const PROGRESS: Duration = Duration::from_secs(2);

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
    /// Act as this user, such as system:serviceaccount:revisor:revisor-maintenance, whom the policy of deploy/ lets write
    #[arg(long = "as", value_name = "USER")]
    pub impersonate: Option<String>,
    /// Only this namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The result for one Revision.
enum ReindexResult {
    Rewritten,
    Unchanged,
    /// There is nothing to make a view from, or it is gone.
    Without,
}

/// Revisions by result.
#[derive(Default)]
struct Count {
    rewritten: usize,
    unchanged: usize,
    without: usize,
    failed: usize,
}

impl Count {
    fn add(&mut self, result: &anyhow::Result<ReindexResult>) {
        *match result {
            Ok(ReindexResult::Rewritten) => &mut self.rewritten,
            Ok(ReindexResult::Unchanged) => &mut self.unchanged,
            Ok(ReindexResult::Without) => &mut self.without,
            Err(_) => &mut self.failed,
        } += 1;
    }

    fn total(&self) -> usize {
        self.rewritten + self.unchanged + self.without + self.failed
    }
}

/// Tells every two seconds how far a run is.
struct Progress {
    started: Instant,
    told: Instant,
}

impl Progress {
    fn new() -> Self {
        let now = clock::monotonic();
        Self {
            started: now,
            told: now,
        }
    }

    fn tell(&mut self, count: &Count, all: Option<usize>) {
        if self.told.elapsed() > PROGRESS {
            eprintln!("{}", self.line(count, all));
            self.told = clock::monotonic();
        }
    }

    /// `1200 of 5000 Revisions, 240/s: 1100 rewritten`.
    fn line(&self, count: &Count, all: Option<usize>) -> String {
        let done = count.total();
        let of = all.map_or_else(String::new, |all| format!(" of {}", all.max(done)));
        let rate = self.rate(done);
        let rewritten = count.rewritten;
        format!("{done}{of} Revisions, {rate}: {rewritten} rewritten")
    }

    fn rate(&self, done: usize) -> impl fmt::Display + use<> {
        let millis = self.started.elapsed().as_millis().max(1);
        format!("{}/s", done as u128 * 1000 / millis)
    }
}

/// All that one run works with.
struct Reindex {
    client: Client,
    catalogue: Catalogue,
    names: Names,
    extractor: Extractor,
    dry_run: bool,
}

/// Which Revisions of a workload hold the same, as they come by name: those of one workload follow each other.
#[derive(Default)]
struct SameContents {
    workload: Uuid,
    newest: NewestSame,
}

impl SameContents {
    /// The newest older generation with the same content; none where the content is not stored.
    fn note(&mut self, catalogue: &Catalogue, revision: &Revision) -> Option<i64> {
        let spec = &revision.spec;
        if self.workload != spec.workload.uid {
            *self = Self {
                workload: spec.workload.uid,
                newest: NewestSame::default(),
            };
        }
        let kind = kind_of(catalogue, revision);
        let normal = normal_of(kind.as_deref(), revision)?;
        let view = View {
            normal_digest: normal.text(),
            ..View::default()
        };
        self.newest.note(spec.generation, &view)
    }
}

/// The kind file of the workload of a Revision.
fn kind_of(catalogue: &Catalogue, revision: &Revision) -> Option<Arc<Kind>> {
    let workload = &revision.spec.workload;
    let is_of = |kind: &&Arc<Kind>| kind.kind == workload.kind && kind.group == workload.group();
    catalogue.kinds().iter().find(is_of).cloned()
}

/// The runs for single Revisions that are under way.
type Rewriting = JoinSet<anyhow::Result<ReindexResult>>;

/// Rewrites what differs.
///
/// # Errors
/// When Revisions cannot be read, or some could not be rewritten.
pub(super) async fn reindex(args: &ReindexArgs) -> anyhow::Result<String> {
    let config = Config::load(args.config.as_deref())?;
    let kubeconfig = args.cluster.kubeconfig.as_deref();
    let user = args.impersonate.as_deref();
    let client = Clients::connect_as(kubeconfig, user).await?.call;
    let names = config.settings.names;
    let reindex = Reindex {
        client,
        catalogue: config.catalogue,
        extractor: Extractor::new(names.clone(), &Metrics::new()),
        names,
        dry_run: args.dry_run,
    };
    Arc::new(reindex).run(args.namespace.as_deref()).await
}

impl Reindex {
    async fn run(self: Arc<Self>, namespace: Option<&str>) -> anyhow::Result<String> {
        let all: Api<Revision> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let mut pages = Pages::new(all);
        let mut count = Count::default();
        let mut progress = Progress::new();
        let mut rewriting = Rewriting::new();
        // By name, so that the generation before a Revision mostly comes right before it.
        let mut last: Option<Arc<Revision>> = None;
        let mut same = SameContents::default();
        let read = loop {
            let page = match pages.next().await {
                Ok(Some(page)) => page,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            for revision in page {
                let revision = Arc::new(revision);
                if rewriting.len() == CONCURRENCY {
                    take(&mut count, rewriting.join_next().await);
                    progress.tell(&count, pages.count());
                }
                let this = self.clone();
                let before = last.replace(revision.clone());
                let same_as = same.note(&self.catalogue, &revision);
                rewriting.spawn(async move {
                    this.rewrite_or_explain(&revision, before, same_as).await
                });
            }
        };
        while let Some(done) = rewriting.join_next().await {
            take(&mut count, Some(done));
            progress.tell(&count, pages.count());
        }
        let said = self.summary(&count);
        read.with_context(|| format!("{} Revisions were done", count.total()))?;
        said
    }

    async fn rewrite_or_explain(
        &self,
        revision: &Arc<Revision>,
        last: Option<Arc<Revision>>,
        same_as: Option<i64>,
    ) -> anyhow::Result<ReindexResult> {
        let result = self.rewrite(revision, last.as_deref(), same_as).await;
        if let Err(error) = &result {
            let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
            let name = revision.metadata.name.as_deref().unwrap_or_default();
            eprintln!("{namespace}/{name}: {error:#}");
        }
        result
    }

    fn summary(&self, count: &Count) -> anyhow::Result<String> {
        let total = count.total();
        let Count {
            rewritten,
            unchanged,
            without,
            failed,
        } = count;
        anyhow::ensure!(
            *failed == 0,
            "{failed} of {total} Revisions could not be rewritten ({rewritten} were); start it again to go on"
        );
        let verb = if self.dry_run {
            "would be rewritten"
        } else {
            "rewritten"
        };
        Ok(format!(
            "{total} Revisions: {rewritten} {verb}, {unchanged} up to date, {without} without a kind file or content\n"
        ))
    }
}

/// Counts one that is done.
fn take(count: &mut Count, done: Option<Result<anyhow::Result<ReindexResult>, JoinError>>) {
    if let Some(done) = done {
        count.add(&done.unwrap_or_else(|error| Err(error.into())));
    }
}

#[cfg(test)]
mod tests;
