//! Pods: which workload each is of, as its labels or its owners say. Pure.

use super::super::pod::Pod;
use super::{REMEMBERED, Subject, Subjects};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

/// A pod that no workload is known of yet.
pub(super) struct UnclaimedPod {
    pod: Pod,
    owner: Option<OwnerReference>,
}

/// Where a pod is.
pub(super) enum PodHome {
    Workload(Uuid),
    Unclaimed(Box<UnclaimedPod>),
}

pub(super) struct TrackedPod {
    /// Which watches show it, a bit each.
    sources: u32,
    home: PodHome,
}

/// A pod whose owners have to be asked for its workload.
pub(in super::super) struct OwnerLookup {
    pub(in super::super) uid: Uuid,
    pub(in super::super) namespace: Arc<str>,
    pub(in super::super) owner: OwnerReference,
}

impl Subjects {
    /// Pods that were there before their workload was known.
    pub(super) fn look_again(&mut self, namespace: &str) {
        let waiting = |tracked: &TrackedPod| matches!(&tracked.home, PodHome::Unclaimed(unclaimed) if *unclaimed.pod.namespace == *namespace);
        let uids: Vec<_> = self
            .pods
            .iter()
            .filter(|(_, tracked)| waiting(tracked))
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
        let sources = known.as_ref().map_or(0, |tracked| tracked.sources) | 1 << source;
        if let Some(TrackedPod {
            home: PodHome::Workload(workload),
            ..
        }) = known
        {
            self.pods.insert(
                uid,
                TrackedPod {
                    sources,
                    home: PodHome::Workload(workload),
                },
            );
            self.hold(workload, uid, pod);
            return;
        }
        self.pods.insert(
            uid,
            TrackedPod {
                sources,
                home: PodHome::Unclaimed(Box::new(UnclaimedPod { pod, owner })),
            },
        );
        self.assign(uid);
    }

    /// Finds the workload of an unclaimed pod by its labels, or notes that its owners have to be asked.
    fn assign(&mut self, uid: Uuid) {
        let Some(TrackedPod {
            home: PodHome::Unclaimed(unclaimed),
            ..
        }) = self.pods.get(&uid)
        else {
            return;
        };
        if !self.namespaces.contains_key(&*unclaimed.pod.namespace) {
            return;
        }
        if let Some(workload) = self.labelled(&unclaimed.pod) {
            self.claim(uid, workload);
        } else if unclaimed.owner.is_some() {
            self.lookups.push(uid);
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
    pub(in super::super) fn take_lookups(&mut self) -> Vec<OwnerLookup> {
        let lost = std::mem::take(&mut self.lookups);
        let unclaimed = lost
            .into_iter()
            .filter_map(|uid| match &self.pods.get(&uid)?.home {
                PodHome::Unclaimed(unclaimed) => Some(OwnerLookup {
                    uid,
                    namespace: unclaimed.pod.namespace.clone(),
                    owner: unclaimed.owner.clone()?,
                }),
                PodHome::Workload(_) => None,
            });
        unclaimed.collect()
    }

    /// Its owners could not be asked: they will be again.
    pub(in super::super) fn look_up_again(&mut self, uid: Uuid) {
        self.lookups.push(uid);
    }

    /// An unclaimed pod is of this workload.
    pub(in super::super) fn claim(&mut self, uid: Uuid, workload: Uuid) {
        if !self.all.contains_key(&workload) {
            return;
        }
        let Some(tracked) = self.pods.get_mut(&uid) else {
            return;
        };
        if let PodHome::Unclaimed(unclaimed) =
            std::mem::replace(&mut tracked.home, PodHome::Workload(workload))
        {
            self.hold(workload, uid, unclaimed.pod);
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
        let Some(tracked) = self.pods.get_mut(&uid) else {
            return;
        };
        tracked.sources &= !(1 << source);
        if tracked.sources != 0 {
            return;
        }
        if let Some(TrackedPod {
            home: PodHome::Workload(workload),
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
            .filter(|(_, tracked)| tracked.sources & (1 << source) != 0);
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
        self.lookups.clear();
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
