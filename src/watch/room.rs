//! The namespaces for whose changes there is no room.

use std::collections::BTreeSet;
use tokio::sync::watch;

/// Those that are full. Whatever fills and frees the room writes them; a watch of workloads reads them. Cloning shares
/// them.
#[derive(Clone, Debug)]
pub struct Room {
    full: watch::Sender<BTreeSet<String>>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            full: watch::Sender::new(BTreeSet::new()),
        }
    }
}

impl Room {
    /// These namespaces are full now, and no others.
    pub fn set(&self, full: BTreeSet<String>) {
        self.full.send_if_modified(|before| {
            let is_news = *before != full;
            *before = full;
            is_news
        });
    }

    /// Whether there is room for changes of a namespace.
    pub fn has_room(&self, namespace: &str) -> bool {
        !self.full.borrow().contains(namespace)
    }

    /// Changes whenever one becomes full, or has room again.
    pub(super) fn subscribe(&self) -> watch::Receiver<BTreeSet<String>> {
        self.full.subscribe()
    }
}
