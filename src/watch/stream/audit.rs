//! Between two watches: whether the history is still the same one, and whether really everything was seen.

use super::super::join::{Join, JoinStep};
use super::events::{End, Replay};
use super::list::NoList;
use super::{STALENESS, Stream, metrics};
use crate::clock;
use crate::watch::Sink;
use crate::watch::exact::Unserved;
use crate::workload::{Resource, ResourceVersion};
use std::sync::Arc;
use tokio::time::Instant;

impl<S: Sink> Stream<S> {
    /// Reads the present place, and audits the watch when it is time to.
    pub(super) async fn check(&mut self, resource: &Arc<Resource>, at: &mut ResourceVersion) {
        let asked = clock::now() - STALENESS;
        if let Ok(page) = self.exact.present(resource, 1, "", true).await {
            if page.at < *at {
                if self.is_restored(resource, *at).await {
                    self.start_over(page.at).await;
                }
                return;
            }
            self.dates.measured(page.at, asked);
            self.heard(true).await;
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
        let suspects = self.suspects(resource).await?;
        let mut join = Join::audit(suspects, *at);
        loop {
            match join.step() {
                // Most suspects are just on their way.
                JoinStep::Replay(until) => {
                    let mut replay = Replay::new(until);
                    while !replay.until().is_reached(*at, self.outlet.known()) {
                        let end = self.replay(resource, at, &mut replay).await;
                        match end.map_err(NoList::Failed)? {
                            End::Resume => {}
                            End::Replayed => break,
                            // The list that follows shows whatever is missing.
                            End::Expired => return Ok(()),
                            End::Absent => return Err(Unserved.into()),
                        }
                    }
                    join.replayed(*at, self.outlet.known());
                }
                JoinStep::ReadBack { behind, gone, by } => {
                    self.missed(behind.len() + gone.len());
                    self.read_back(resource, behind, gone, by).await?;
                }
                JoinStep::Sample(_) | JoinStep::Blind { .. } | JoinStep::Joined(_) => return Ok(()),
            }
        }
    }

    fn missed(&self, missed: usize) {
        tracing::error!(missed, "the watch has lost events; reading them back");
        let labels = metrics::kind(&self.kind.kind);
        let counter = self.metrics.audit_repairs.get_or_create(&labels);
        counter.inc_by(missed as u64);
    }
}
