//! A write on its way, and its entries in the ledger.

use super::super::ledger::Ledger;
use super::super::lives::Origin;
use super::super::write::Write;
use super::lane::LaneItem;
use crate::mutant::{self, Mutant};
use crate::watch::checkpoint::Exception;
use crate::workload::{ResourceVersion, Version};
use tokio::time::Instant;
use uuid::Uuid;

/// One write on its way.
#[derive(Debug)]
pub struct Item {
    /// The write itself.
    pub write: Write,
    /// metadata.uid of its workload.
    pub workload: Uuid,
    /// The namespace for which it was made.
    pub origin: Origin,
    /// The time at which its change was seen.
    pub seen: Instant,
    /// The ledger in which it is pending.
    pub ledger: Ledger,
    /// Its entries in that ledger.
    pub pending: Pending,
}

/// The entries of a write in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The resourceVersion at which its change was seen, and another one that is settled with it.
    At(ResourceVersion, Option<ResourceVersion>),
    /// This generation of its workload is an exception: everything around it may count as durable.
    Excepted(i64),
    /// None: it is found again with a Revision that is an exception.
    Nothing,
}

#[derive(Debug)]
pub(in crate::record) struct Queued {
    pub(in crate::record) item: Item,
    pub(super) bytes: usize,
    pub(super) epoch: u64,
    /// Whether another replica may have stored it.
    pub(in crate::record) repeats: bool,
}

impl LaneItem for Queued {
    fn workload(&self) -> Uuid {
        self.item.workload
    }

    fn namespace(&self) -> &str {
        self.item.write.namespace()
    }

    fn revision(&self) -> &str {
        self.item.write.name()
    }

    fn creates(&self) -> bool {
        matches!(self.item.write, Write::Create(..))
    }

    fn may_be_passed(&self) -> bool {
        match self.item.pending {
            Pending::Excepted(generation) => {
                self.item.ledger.is_written(self.item.workload, generation)
                    || mutant::is(Mutant::PassedUnwritten)
            }
            Pending::At(..) | Pending::Nothing => false,
        }
    }
}

impl Item {
    /// Takes its entries out of the ledger.
    pub(super) fn settle(&self) {
        match self.pending {
            Pending::At(at, also) => {
                self.ledger.done(at);
                if let Some(also) = also {
                    self.ledger.done(also);
                }
            }
            Pending::Excepted(generation) => {
                self.ledger.settle(self.workload, generation);
            }
            Pending::Nothing => {}
        }
    }

    /// The exception that it would be in the checkpoint.
    pub(super) fn exception(&self) -> Option<Exception> {
        let (Write::Create(revision, _), Pending::At(at, also)) = (&self.write, self.pending)
        else {
            return None;
        };
        let spec = &revision.spec;
        spec.gap.is_none().then(|| Exception {
            uid: self.workload,
            namespace: self.write.namespace().to_owned(),
            name: spec.workload.name.clone(),
            version: Version {
                generation: spec.generation,
                at,
            },
            first: also.map_or(at, |also| also.min(at)),
            through: None,
        })
    }
}
