//! Pods: which workload each is of, as its labels or its owners say. Pure.

use super::super::pod::Pod;
use super::{REMEMBERED, Subject, Subjects};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

/// A pod that no workload is known of yet.
pub(super) struct Parked {
    pod: Pod,
    owner: Option<OwnerReference>,
}

/// Where a pod is.
pub(super) enum Place {
    Of(Uuid),
    Parked(Box<Parked>),
}

pub(super) struct Entry {
    /// Which watches show it, a bit each.
    sources: u32,
    place: Place,
}

/// A pod whose owners have to be asked for its workload.
pub(in super::super) struct Lost {
    pub(in super::super) uid: Uuid,
    pub(in super::super) namespace: Arc<str>,
    pub(in super::super) owner: OwnerReference,
}

impl Subjects {
    /// Pods that were there before their workload was known.
    pub(super) fn look_again(&mut self, namespace: &str) {
        let waiting = |entry: &Entry| matches!(&entry.place, Place::Parked(parked) if *parked.pod.namespace == *namespace);
        let uids: Vec<_> = self
            .pods
            .iter()
            .filter(|(_, entry)| waiting(entry))
            .map(|(uid, _)| *uid)
            .collect();
        for uid in uids {
            self.assign(uid);
        }
    }

    /// A watch shows a pod.
    pub(in super::super) fn pod(
        &mut self,
        source: u32,
        uid: Uuid,
        pod: Pod,
        owner: Option<OwnerReference>,
    ) {
        let known = self.pods.remove(&uid);
        let sources = known.as_ref().map_or(0, |entry| entry.sources) | 1 << source;
        if let Some(Entry {
            place: Place::Of(workload),
            ..
        }) = known
        {
            self.pods.insert(
                uid,
                Entry {
                    sources,
                    place: Place::Of(workload),
                },
            );
            self.hold(workload, uid, pod);
            return;
        }
        self.pods.insert(
            uid,
            Entry {
                sources,
                place: Place::Parked(Box::new(Parked { pod, owner })),
            },
        );
        self.assign(uid);
    }

    /// Finds the workload of a parked pod by its labels, or notes that its owners have to be asked.
    fn assign(&mut self, uid: Uuid) {
        let Some(Entry {
            place: Place::Parked(parked),
            ..
        }) = self.pods.get(&uid)
        else {
            return;
        };
        if !self.namespaces.contains_key(&*parked.pod.namespace) {
            return;
        }
        if let Some(workload) = self.labelled(&parked.pod) {
            self.claim(uid, workload);
        } else if parked.owner.is_some() {
            self.lost.push(uid);
        }
    }

    /// The workload that a pod's labels name.
    fn labelled(&self, pod: &Pod) -> Option<Uuid> {
        self.kinds.iter().find_map(|kind| {
            let name = pod.workload(&kind.pods)?;
            let key = (
                kind.group_kind().to_string(),
                pod.namespace.to_string(),
                name.to_owned(),
            );
            let uid = *self.names.get(&key)?;
            self.all.get(&uid)?.may_own(pod).then_some(uid)
        })
    }

    /// The pods whose owners have to be asked, since the last time.
    pub(in super::super) fn take_lost(&mut self) -> Vec<Lost> {
        let lost = std::mem::take(&mut self.lost);
        let parked = lost
            .into_iter()
            .filter_map(|uid| match &self.pods.get(&uid)?.place {
                Place::Parked(parked) => Some(Lost {
                    uid,
                    namespace: parked.pod.namespace.clone(),
                    owner: parked.owner.clone()?,
                }),
                Place::Of(_) => None,
            });
        parked.collect()
    }

    /// Its owners could not be asked: they will be again.
    pub(in super::super) fn still_lost(&mut self, uid: Uuid) {
        self.lost.push(uid);
    }

    /// A parked pod is of this workload.
    pub(in super::super) fn claim(&mut self, uid: Uuid, workload: Uuid) {
        if !self.all.contains_key(&workload) {
            return;
        }
        let Some(entry) = self.pods.get_mut(&uid) else {
            return;
        };
        if let Place::Parked(parked) = std::mem::replace(&mut entry.place, Place::Of(workload)) {
            self.hold(workload, uid, parked.pod);
        }
    }

    fn hold(&mut self, workload: Uuid, uid: Uuid, mut pod: Pod) {
        let Some(subject) = self.all.get_mut(&workload) else {
            return;
        };
        // Pods of one template share it.
        let twin = subject
            .pods
            .values()
            .find(|other| other.template == pod.template);
        if let Some(twin) = twin {
            pod.template = twin.template.clone();
        }
        let file = &subject.kind.pods;
        let group = (
            pod.component(file).unwrap_or_default().to_owned(),
            pod.key(file).unwrap_or_default().to_owned(),
        );
        let born = subject.born.entry(group).or_insert(pod.created);
        *born = (*born).min(pod.created);
        subject.pods.insert(uid, pod);
        self.dirty.insert(workload);
    }

    /// A watch does not show a pod any more.
    pub(in super::super) fn pod_gone(&mut self, source: u32, uid: Uuid) {
        let Some(entry) = self.pods.get_mut(&uid) else {
            return;
        };
        entry.sources &= !(1 << source);
        if entry.sources != 0 {
            return;
        }
        if let Some(Entry {
            place: Place::Of(workload),
            ..
        }) = self.pods.remove(&uid)
            && let Some(subject) = self.all.get_mut(&workload)
        {
            subject.pods.remove(&uid);
            let file = &subject.kind.pods;
            let there: HashSet<_> = subject
                .pods
                .values()
                .map(|pod| pod.key(file).unwrap_or_default())
                .collect();
            // A key whose pods are all gone comes back only with pods that are newer, or by a rollback.
            if subject.born.len() > REMEMBERED {
                subject
                    .born
                    .retain(|(_, key), _| there.contains(key.as_str()));
            }
            self.dirty.insert(workload);
        }
    }

    /// A watch has shown all it has: what it does not show any more is gone.
    pub(in super::super) fn pods_listed(&mut self, source: u32, there: &HashSet<Uuid>) {
        let shown = self
            .pods
            .iter()
            .filter(|(_, entry)| entry.sources & (1 << source) != 0);
        let gone: Vec<_> = shown
            .map(|(uid, _)| *uid)
            .filter(|uid| !there.contains(uid))
            .collect();
        for uid in gone {
            self.pod_gone(source, uid);
        }
    }

    /// Pods and nodes are known to who leads only.
    pub(in super::super) fn forget_pods(&mut self) {
        self.pods.clear();
        self.lost.clear();
        self.pools.clear();
        self.all
            .values_mut()
            .for_each(|subject| subject.pods.clear());
    }

    /// The pool of a node; none when the node is gone.
    pub(in super::super) fn pool(&mut self, node: Arc<str>, pool: Option<Arc<str>>) {
        if self.pools.get(&node) == pool.as_ref() {
            return;
        }
        let on_it = |subject: &Subject| {
            subject
                .pods
                .values()
                .any(|pod| pod.node.as_ref() == Some(&node))
        };
        self.dirty.extend(
            self.all
                .iter()
                .filter(|(_, subject)| on_it(subject))
                .map(|(uid, _)| *uid),
        );
        match pool {
            Some(pool) => self.pools.insert(node, pool),
            None => self.pools.remove(&node),
        };
    }
}
