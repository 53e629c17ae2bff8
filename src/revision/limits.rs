//! The lengths that the parts of a Revision may have, and the cut to them. Pure.
//!
//! The definition has the same limits ([`super::schema`]), so a Revision that was cut is never refused for a length. It is
//! small whatever its workload holds: without its data it fits into any request. Lengths of texts are in characters. Names
//! and ids are identity, and are not cut; the API server bounds them.

#[cfg(test)]
mod tests;

use super::{Revision, RevisionStatus, View};
use crate::text::{cut, cut_middle, prefix};
use std::collections::BTreeMap;

/// Annotations may hold 256 KiB; the snapshot keeps them whole.
pub const MAX_TEXT: usize = 1024;
/// A word of a closed list.
pub const MAX_WORD: usize = 64;
/// A field manager; the API server takes no longer one.
pub const MAX_MANAGER: usize = 128;
/// The value of a label, and the name of a kind; the API server takes no longer ones.
pub const MAX_LABEL: usize = 63;
/// The name of an object; the API server takes no longer one.
pub const MAX_NAME: usize = 253;
/// A group, a slash and a version.
pub const MAX_API_VERSION: usize = MAX_NAME + 1 + MAX_LABEL;
/// `sha256:` and 64 digits.
pub const MAX_DIGEST: usize = 71;
/// The name of a user; certificates and tokens may have long ones.
pub const MAX_USER: usize = 1024;
/// A stored snapshot. The API server takes no request that is longer.
pub const MAX_DATA: usize = 3 << 20;

/// A view as JSON, in bytes.
pub const MAX_VIEW: usize = 16 << 10;
/// The summary of a view.
pub const MAX_SUMMARY: usize = 240;
/// The changes that a view lists.
pub const MAX_CHANGES: usize = 32;
/// The path of a change.
pub const MAX_PATH: usize = 240;
/// One side of a change.
pub const MAX_VALUE: usize = 120;
/// The images that a view or a status names.
pub const MAX_IMAGES: usize = 32;
/// An image.
pub const MAX_IMAGE: usize = 512;
/// The node pools or unresolved parts that a view names.
pub const MAX_NAMES: usize = 32;
/// The words of a command, the arguments, the variables or the resources of a view.
pub const MAX_ITEMS: usize = 256;
/// A name among those.
pub const MAX_ITEM: usize = 512;
/// The message of a status, and that of a condition.
pub const MAX_MESSAGE: usize = 512;
/// The conditions of a status.
pub const MAX_CONDITIONS: usize = 8;
/// The node pools that a status names.
pub const MAX_POOLS: usize = 256;
/// The keys of pods that a status names.
pub const MAX_KEYS: usize = 16;
/// A quantity.
pub const MAX_QUANTITY: usize = 64;
/// A word, an argument or the value of a variable, which may be a script.
pub const MAX_ARGUMENT: usize = 4096;
/// A variable: its name, the sign and its value.
pub const MAX_VARIABLE: usize = MAX_ITEM + 1 + MAX_ARGUMENT;

impl Revision {
    /// Cuts every part to its limit.
    pub fn fit(&mut self) {
        let labels = self.metadata.labels.iter_mut();
        for value in labels.flat_map(BTreeMap::values_mut) {
            *value = prefix(value, MAX_LABEL).to_owned();
        }
        let spec = &mut self.spec;
        let mut cutter = Cutter::default();
        if let Some(cause) = &mut spec.change_cause {
            cutter.text(cause, MAX_TEXT);
        }
        if let Some(source) = &mut spec.source {
            cutter.text(&mut source.tool, MAX_WORD);
            cutter.text(&mut source.name, MAX_TEXT);
        }
        if let Some(via) = &mut spec.via {
            cutter.text(&mut via.manager, MAX_MANAGER);
            cutter.text(&mut via.operation, MAX_WORD);
            cutter.text(&mut via.subresource, MAX_WORD);
        }
        if let Some(gap) = &mut spec.gap {
            cutter.text(&mut gap.reason, MAX_WORD);
        }
        if let Some(view) = &mut spec.view {
            view.fit();
        }
    }

    /// Takes out every part that only describes the change: view, change cause, source and field manager. False when it
    /// has none of them.
    pub fn without_extras(&mut self) -> bool {
        let spec = &mut self.spec;
        let had_view = spec.view.take().is_some();
        let had_cause = spec.change_cause.take().is_some();
        let had_source = spec.source.take().is_some();
        let had_via = spec.via.take().is_some();
        had_view || had_cause || had_source || had_via
    }

    /// Takes the data out of the snapshot; the digest stays. False when it has no data.
    pub fn without_data(&mut self) -> bool {
        let Some(snapshot) = &mut self.spec.snapshot else {
            return false;
        };
        let had_data = snapshot.data.take().is_some();
        snapshot.oversize |= had_data;
        had_data
    }
}

impl View {
    /// Cuts every part to its limit, and then leaves out the end of the longest parts until the whole is small enough.
    pub fn fit(&mut self) {
        let mut cutter = Cutter::default();
        cutter.text(&mut self.summary, MAX_SUMMARY);
        cutter.list(&mut self.changes, MAX_CHANGES);
        for change in &mut self.changes {
            cutter.text(&mut change.path, MAX_PATH);
            for side in [&mut change.from, &mut change.to].into_iter().flatten() {
                cutter.text(side, MAX_VALUE);
            }
        }
        cutter.texts(&mut self.images, MAX_IMAGES, MAX_IMAGE);
        cutter.texts(&mut self.command, MAX_ITEMS, MAX_ARGUMENT);
        cutter.texts(&mut self.args, MAX_ITEMS, MAX_ARGUMENT);
        cutter.texts(&mut self.env, MAX_ITEMS, MAX_VARIABLE);
        cutter.texts(&mut self.node_pools, MAX_NAMES, MAX_ITEM);
        cutter.texts(&mut self.unresolved, MAX_NAMES, MAX_ITEM);
        cutter.text(&mut self.model, MAX_ITEM);
        for quantities in self.quantities() {
            cutter.quantities(quantities);
        }
        self.truncated |= cutter.less;
        self.shrink();
    }

    fn quantities(&mut self) -> [&mut BTreeMap<String, String>; 4] {
        [
            &mut self.requests_per_pod,
            &mut self.requests_total,
            &mut self.limits_per_pod,
            &mut self.limits_total,
        ]
    }

    fn is_small(&self) -> bool {
        serde_json::to_vec(self).is_ok_and(|json| json.len() <= MAX_VIEW)
    }

    /// Leaves out the middle of long texts, then the end of the longest parts until the view is small enough.
    fn shrink(&mut self) {
        if self.is_small() {
            return;
        }
        for text in [&mut self.command, &mut self.args, &mut self.env]
            .into_iter()
            .flatten()
        {
            *text = cut_middle(text, 2 * MAX_ITEM).into_owned();
        }
        self.truncated = true;
        while serde_json::to_vec(self).is_ok_and(|json| json.len() > MAX_VIEW) {
            let lengths = [
                self.env.len(),
                self.args.len(),
                self.changes.len(),
                self.images.len(),
                self.command.len(),
            ];
            let longest = lengths.iter().copied().max().unwrap_or_default();
            // A part at a time, so that a view of a thousand entries is not written a thousand times.
            let keep = longest - longest.div_ceil(8);
            match lengths
                .iter()
                .position(|length| *length == longest && longest > 0)
            {
                Some(0) => self.env.truncate(keep),
                Some(1) => self.args.truncate(keep),
                Some(2) => self.changes.truncate(keep),
                Some(3) => self.images.truncate(keep),
                Some(_) => self.command.truncate(keep),
                None => {
                    self.clear_requests();
                    break;
                }
            }
        }
    }

    fn clear_requests(&mut self) {
        self.node_pools.clear();
        self.pods = None;
        self.unresolved.clear();
        for quantities in self.quantities() {
            quantities.clear();
        }
    }
}

impl RevisionStatus {
    /// Cuts every part to its limit.
    pub fn fit(&mut self) {
        let mut cutter = Cutter::default();
        let conditions = self.conditions.iter_mut();
        let of_conditions = conditions.flat_map(|c| [&mut c.reason, &mut c.message]);
        let own = [&mut self.reason, &mut self.message];
        for (at, text) in own.into_iter().chain(of_conditions).enumerate() {
            let max = if at % 2 == 0 { MAX_TEXT } else { MAX_MESSAGE };
            if let Some(text) = text {
                cutter.text(text, max);
            }
        }
        cutter.list(&mut self.conditions, MAX_CONDITIONS);
        cutter.texts(&mut self.node_pools, MAX_POOLS, MAX_LABEL);
        cutter.texts(&mut self.images, MAX_IMAGES, MAX_IMAGE);
        cutter.texts(&mut self.pod_keys, MAX_KEYS, MAX_LABEL);
        self.allocated
            .retain(|_, amount| !is_longer(amount, MAX_QUANTITY));
        while self.allocated.len() > MAX_ITEMS {
            self.allocated.pop_last();
        }
    }
}

/// Cuts parts, and remembers whether anything was left out.
#[derive(Default)]
struct Cutter {
    less: bool,
}

impl Cutter {
    fn text(&mut self, text: &mut String, max: usize) {
        if is_longer(text, max) {
            *text = cut(text, max).into_owned();
            self.less = true;
        }
    }

    fn list<T>(&mut self, list: &mut Vec<T>, most: usize) {
        self.less |= list.len() > most;
        list.truncate(most);
    }

    fn texts(&mut self, texts: &mut Vec<String>, most: usize, max: usize) {
        self.list(texts, most);
        for text in texts {
            self.text(text, max);
        }
    }

    /// Quantities and their names mean nothing when they are cut, so those that are too long are left out.
    fn quantities(&mut self, all: &mut BTreeMap<String, String>) {
        let given = all.len();
        all.retain(|name, quantity| !is_longer(name, MAX_ITEM) && !is_longer(quantity, MAX_ITEM));
        while all.len() > MAX_ITEMS {
            all.pop_last();
        }
        self.less |= all.len() < given;
    }
}

fn is_longer(text: &str, max: usize) -> bool {
    text.len() > max && text.chars().nth(max).is_some()
}
