//! Whether a watch shows what there is: how long it has to, and what is done between two.

use super::exact::Unserved;
use super::relist::{Listed, NoList};
use super::stream::{End, Stream};
use super::{Recorded, Sink};
use crate::clock;
use crate::metrics;
use crate::workload::{Resource, ResourceVersion};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A server that ends every watch early and shows nothing is not waited for longer than that.
const PATIENCE: Duration = Duration::from_secs(60);

/// Up to where a watch has to go: until it has shown what a list showed.
pub(super) struct Until {
    at: ResourceVersion,
    /// The newest object that the watch has to show.
    newest: ResourceVersion,
    /// Workloads whose end it has to show.
    gone: Vec<Recorded>,
    /// Since when nothing came.
    quiet: Instant,
}

impl Until {
    /// Until everything is shown that is missing from a list.
    pub(super) fn shown(listed: &Listed) -> Self {
        let newest = listed
            .behind
            .iter()
            .map(|behind| behind.to.1)
            .max()
            .unwrap_or_default();
        Self {
            at: listed.at,
            newest,
            gone: listed.gone.clone(),
            quiet: Instant::now(),
        }
    }

    /// A watch is in order: at the newest object every other one was shown, and every end before it.
    pub(super) fn is_reached(&self, last: ResourceVersion, sink: &impl Sink) -> bool {
        let ended = || {
            self.gone
                .iter()
                .all(|recorded| sink.knows(recorded.uid, i64::MAX))
        };
        last >= self.at || (last >= self.newest && ended())
    }

    /// Whether a watch that was opened then, should have lasted so long, and ended without a word, tells that no more
    /// comes.
    pub(super) fn is_over(&self, opened: Instant, lasting: Duration) -> bool {
        opened.elapsed() + Duration::from_secs(1) >= lasting || self.quiet.elapsed() >= PATIENCE
    }

    pub(super) fn moved(&mut self) {
        self.quiet = Instant::now();
    }
}

impl<S: Sink> Stream<S> {
    /// Between two watches: is this still the same history, and was really everything seen?
    pub(super) async fn check(&mut self, resource: &Arc<Resource>, at: &mut ResourceVersion) {
        let asked = clock::now();
        if let Ok(page) = self.exact.present(resource, 1, "", true).await {
            if page.at < *at {
                return self.start_over(page.at).await;
            }
            self.measured(page.at, asked);
            self.sink.heard(true);
        }
        if self.audited.elapsed() < self.audit {
            return;
        }
        self.audited = Instant::now();
        match self.audit(resource, at).await {
            Ok(()) | Err(NoList::Absent) => {}
            Err(NoList::Rewound(now)) => self.start_over(now).await,
            Err(NoList::Failed(error)) => self.failed("audit", &error).await,
        }
    }

    /// Compares what is there with what was seen, and reads back what was not.
    async fn audit(
        &mut self,
        resource: &Arc<Resource>,
        at: &mut ResourceVersion,
    ) -> Result<(), NoList> {
        let mut listed = self.suspects(resource).await?;
        // Most suspects are just on their way.
        let mut until = Until::shown(&listed);
        while !listed.is_settled() && !until.is_reached(*at, &self.sink) {
            match self
                .watch(resource, at, Some(&mut until))
                .await
                .map_err(NoList::Failed)?
            {
                End::Resume => {}
                End::Replayed => break,
                End::Relist => return Ok(()),
                End::Absent => return Err(Unserved.into()),
            }
        }
        listed.drop_known(&self.sink);
        if !listed.is_settled() {
            let missed = listed.behind.len() + listed.gone.len();
            tracing::error!(
                kind = self.kind.kind,
                missed,
                "the watch has lost events; reading them back"
            );
            let counter = self
                .metrics
                .audit_repairs
                .get_or_create(&metrics::kind(&self.kind.kind))
                .clone();
            counter.inc_by(missed as u64);
            self.catch_up(resource, &mut listed).await?;
        }
        Ok(())
    }
}
