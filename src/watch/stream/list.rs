//! LIST: everything that is there now, and how it compares with what is known.

use super::super::join::{Listed, ObjectName, Placed};
use super::super::repair::Shown;
use super::{STALENESS, Stream};
use crate::client::page::has_status;
use crate::clock;
use crate::metrics;
use crate::mutant::{self, Mutant};
use crate::revision::Observed;
use crate::watch::exact::Unserved;
use crate::watch::{Position, Sink};
use crate::workload::{Change, Op, Resource, ResourceVersion};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// A page is in memory as a whole, several times over.
const PAGE: usize = 200;

/// The waits before the reads that confirm that etcd was restored.
const CONFIRM: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];

/// A list shows a place before one that was seen, and other reads do not confirm it.
#[derive(Debug, thiserror::Error)]
#[error("the list is of resourceVersion {at}, which is older than {seen}")]
struct StaleList {
    at: ResourceVersion,
    seen: ResourceVersion,
}

/// Why there is no list.
pub(super) enum NoList {
    /// The kind is not served any more.
    Absent,
    /// etcd was restored; the present is at that place.
    Rewound(ResourceVersion),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NoList {
    fn from(error: anyhow::Error) -> Self {
        if has_status(&error, 404) {
            Self::Absent
        } else {
            Self::Failed(error)
        }
    }
}

impl From<StaleList> for NoList {
    fn from(stale: StaleList) -> Self {
        Self::Failed(stale.into())
    }
}

impl From<Unserved> for NoList {
    fn from(_: Unserved) -> Self {
        Self::Absent
    }
}

impl<S: Sink> Stream<S> {
    /// Reads what is there. What is known or can be decided is passed on; the rest is returned.
    pub(super) async fn list(&mut self, resource: &Arc<Resource>) -> Result<Listed, NoList> {
        let labels = metrics::kind(&self.kind.kind);
        self.metrics.lists.get_or_create(&labels).inc();
        self.was_recorded |= self.outlet.listing().await;
        let asked = clock::now() - STALENESS;
        let mut seen = self.seen();
        let mut listed = Listed::default();
        let mut token = String::new();
        loop {
            let page = self.exact.present(resource, PAGE, &token, false).await?;
            self.believe(resource, page.at, seen).await?;
            // A forged Revision may name a place that will never be: one question is enough.
            seen = seen.min(page.at);
            self.restore(resource, page.at).await?;
            self.heard(true).await;
            for raw in page.items {
                if let Some(change) = self.edge(resource, Observed::List, Op::Added, raw).await {
                    self.place(change, page.at, &mut listed).await?;
                }
            }
            token = page.token;
            if token.is_empty() {
                self.dates.measured(page.at, asked);
                self.newest_list = Some(Position {
                    at: page.at,
                    time: asked,
                });
                listed.complete(page.at, self.outlet.known());
                self.outlet.ends_by_list(&listed);
                return Ok(listed);
            }
        }
    }

    /// A list at `at` is believed when it is not older than `seen`, or when etcd was restored.
    async fn believe(
        &self,
        resource: &Arc<Resource>,
        at: ResourceVersion,
        seen: ResourceVersion,
    ) -> Result<(), StaleList> {
        if at >= seen || self.is_restored(resource, seen).await {
            Ok(())
        } else {
            Err(StaleList { at, seen })
        }
    }

    /// The newest place that this or an earlier process has seen.
    fn seen(&self) -> ResourceVersion {
        let known = self.outlet.known().newest();
        self.since().map_or(known, |since| since.max(known))
    }

    /// Whether the place `seen`, which this or an earlier process has seen, does not exist any more. That a list is of
    /// an older place does not show it: a list may be answered from the past. A read at the place itself cannot be.
    pub(super) async fn is_restored(&self, resource: &Resource, seen: ResourceVersion) -> bool {
        for wait in CONFIRM {
            if mutant::is(Mutant::StaleListBelieved) {
                return true;
            }
            sleep(wait).await;
            if !self.exact.is_future(resource, seen).await {
                tracing::warn!(%seen, "a list was answered from the past");
                return false;
            }
        }
        true
    }

    /// Passes on an object of a list at `at`, or notes what has to be read first.
    async fn place(
        &mut self,
        change: Change,
        at: ResourceVersion,
        listed: &mut Listed,
    ) -> Result<(), NoList> {
        listed.saw(change.uid);
        let since = self.since();
        self.outlet.shown(&change).await;
        self.outlet.weigh(&change, since);
        let need = self.outlet.need(&change);
        match listed.place(&change, need, at, since) {
            Placed::Now => self.outlet.change(change).await,
            Placed::Later => {}
            Placed::Rewound => return Err(NoList::Rewound(change.resource_version)),
        }
        Ok(())
    }

    /// Lists metadata, and returns the objects that exist and were not seen.
    pub(super) async fn suspects(&mut self, resource: &Arc<Resource>) -> Result<Listed, NoList> {
        let mut seen = self.seen();
        let mut listed = Listed::default();
        let mut token = String::new();
        loop {
            let page = self.exact.present(resource, PAGE, &token, true).await?;
            self.believe(resource, page.at, seen).await?;
            seen = seen.min(page.at);
            for raw in page.items {
                let Some(change) = self.edge(resource, Observed::List, Op::Added, raw).await else {
                    continue;
                };
                listed.saw(change.uid);
                self.outlet.notice(&change);
                self.outlet.shown(&change).await;
                let known = self.outlet.known();
                if known.contradicts(&change) {
                    return Err(NoList::Rewound(change.resource_version));
                }
                if !known.knows(change.uid, change.generation) {
                    self.suspect(resource, &change, page.at, &mut listed)
                        .await?;
                }
            }
            token = page.token;
            if token.is_empty() {
                listed.complete(page.at, self.outlet.known());
                self.outlet.ends_by_list(&listed);
                return Ok(listed);
            }
        }
    }

    /// Metadata does not tell whether an object is selected, so it is read whole, as the list at `at` showed it.
    async fn suspect(
        &mut self,
        resource: &Arc<Resource>,
        change: &Change,
        at: ResourceVersion,
        listed: &mut Listed,
    ) -> Result<(), NoList> {
        let name = ObjectName::of(change);
        let past = self.exact.shown(resource, &name, change.generation, at);
        let raw = match past.await? {
            Shown::Found(raw) => raw,
            // It went on: that comes by the watch, or is for the next audit.
            Shown::Passed(_) | Shown::Compacted => return Ok(()),
            Shown::Unreadable => {
                self.count_undecodable();
                return Ok(());
            }
        };
        let Some(whole) = self.edge(resource, Observed::List, Op::Added, raw).await else {
            return Ok(());
        };
        let need = self.outlet.need(&whole);
        // Nothing of an object that was never seen counts as passed on.
        let since = Some(ResourceVersion::default());
        match listed.place(&whole, need, at, since) {
            Placed::Rewound => return Err(NoList::Rewound(change.resource_version)),
            // Nothing lies between the last known state and this one, but the watch has not shown this one.
            Placed::Now => {
                let last = self.outlet.known().last(whole.uid);
                if let Some(last) = last.filter(|_| !mutant::is(Mutant::LostLastIgnored)) {
                    listed.follows(&whole, last, at);
                }
            }
            Placed::Later => {}
        }
        Ok(())
    }
}
