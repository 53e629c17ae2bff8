//! Pods: which workload each is of, as its labels or its owners say. Pure.

use super::super::pod::Pod;
use super::Subjects;
use super::subject::{REMEMBERED, Subject, WorkloadName};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// A pod that no workload is known of yet.
pub(super) struct UnclaimedPod {
    pod: Pod,
    owner: Option<OwnerReference>,
}

/// The workload that a pod is of, if it is known.
pub(super) enum PodHome {
    Workload(Uuid),
    Unclaimed(Box<UnclaimedPod>),
}

pub(super) struct TrackedPod {
    /// The watches that show it, a bit each.
    sources: u32,
    home: PodHome,
}

/// A pod whose owners have to be read to find its workload.
pub(in super::super) struct OwnerLookup {
    pub(in super::super) uid: Uuid,
    pub(in super::super) namespace: Arc<str>,
    pub(in super::super) owner: OwnerReference,
}

/// What has to be asked, and the watches whose pods are all known when that is answered.
pub(in super::super) struct OwnerLookups {
    pub(in super::super) lookups: Vec<OwnerLookup>,
    pub(in super::super) watches: BTreeSet<usize>,
}

impl TrackedPod {
    /// The workload that it is of, where that is known.
    fn workload(&self) -> Option<Uuid> {
        match self.home {
            PodHome::Workload(workload) => Some(workload),
            PodHome::Unclaimed(_) => None,
        }
    }

    fn unclaimed(&self) -> Option<&UnclaimedPod> {
        match &self.home {
            PodHome::Unclaimed(unclaimed) => Some(unclaimed),
            PodHome::Workload(_) => None,
        }
    }

    fn is_shown_by(&self, source: u32) -> bool {
        self.sources & (1 << source) != 0
    }
}

impl UnclaimedPod {
    /// The request to read its owners; none where nothing controls it.
    fn lookup(&self, uid: Uuid) -> Option<OwnerLookup> {
        Some(OwnerLookup {
            uid,
            namespace: self.pod.namespace.clone(),
            owner: self.owner.clone()?,
        })
    }
}

impl Subjects {
    /// Assigns the pods of a namespace that were there before their workload was known.
    pub(super) fn look_again(&mut self, namespace: &str) {
        let waiting: BTreeSet<_> = self
            .pods
            .iter()
            .filter(|(_, tracked)| {
                tracked
                    .unclaimed()
                    .is_some_and(|unclaimed| *unclaimed.pod.namespace == *namespace)
            })
            .map(|(uid, _)| *uid)
            .collect();
        for uid in waiting {
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
        let known = self.pods.get(&uid);
        let sources = known.map_or(0, |tracked| tracked.sources) | 1 << source;
        if let Some(workload) = known.and_then(TrackedPod::workload) {
            let home = PodHome::Workload(workload);
            self.pods.insert(uid, TrackedPod { sources, home });
            self.hold(workload, uid, pod);
        } else {
            let home = PodHome::Unclaimed(Box::new(UnclaimedPod { pod, owner }));
            self.pods.insert(uid, TrackedPod { sources, home });
            self.assign(uid);
        }
    }

    /// Finds the workload of an unclaimed pod by its labels, or notes that its owners have to be read.
    fn assign(&mut self, uid: Uuid) {
        let Some(unclaimed) = self.pods.get(&uid).and_then(TrackedPod::unclaimed) else {
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
            let name = WorkloadName {
                kind: kind.group_kind().to_string(),
                namespace: pod.namespace.to_string(),
                name: pod.workload(&kind.pods)?.to_owned(),
            };
            let uid = *self.names.get(&name)?;
            self.all.get(&uid)?.may_own(pod).then_some(uid)
        })
    }

    /// The pods whose owners have to be read, since the last time.
    pub(in super::super) fn take_lookups(&mut self) -> OwnerLookups {
        let lookups = std::mem::take(&mut self.lookups)
            .into_iter()
            .filter_map(|uid| self.pods.get(&uid)?.unclaimed()?.lookup(uid))
            .collect();
        OwnerLookups {
            lookups,
            watches: self.lists.listed(),
        }
    }

    /// What was taken was asked for.
    pub(in super::super) fn looked_up(&mut self, watches: &BTreeSet<usize>) {
        self.lists.looked_up(watches);
    }

    /// The owners of a pod could not be read: they are asked for once more.
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
        let group = subject.group_name(&pod);
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
        let tracked = self.pods.remove(&uid);
        if let Some(workload) = tracked.as_ref().and_then(TrackedPod::workload)
            && let Some(subject) = self.all.get_mut(&workload)
        {
            subject.pods.remove(&uid);
            subject.forget_groups();
            self.dirty.insert(workload);
            self.drop_finished(workload);
        }
    }

    /// A watch has shown all it has: what it does not show any more is gone.
    pub(in super::super) fn pods_listed(&mut self, source: u32, there: &HashSet<Uuid>) {
        let gone: Vec<_> = self
            .pods
            .iter()
            .filter(|(uid, tracked)| tracked.is_shown_by(source) && !there.contains(uid))
            .map(|(uid, _)| *uid)
            .collect();
        for uid in gone {
            self.pod_gone(source, uid);
        }
        self.pods_complete(source);
    }

    /// All pods of a watch are known, as far as they ever will be.
    pub(in super::super) fn pods_complete(&mut self, source: u32) {
        if let Ok(watch) = usize::try_from(source) {
            self.lists.has_pods(watch);
        }
    }

    pub(super) fn forget_pods(&mut self) {
        self.pods.clear();
        self.lookups.clear();
        self.pools.clear();
        self.all
            .values_mut()
            .for_each(|subject| subject.pods.clear());
        for uid in self.uids() {
            self.drop_finished(uid);
        }
    }

    /// The watch of nodes has shown all there are.
    pub(in super::super) fn nodes_listed(&mut self, there: &HashSet<Arc<str>>) {
        let gone: Vec<_> = self
            .pools
            .keys()
            .filter(|node| !there.contains(*node))
            .cloned()
            .collect();
        for node in gone {
            self.pool(node, None);
        }
        self.nodes_complete();
    }

    /// All nodes are known, as far as they ever will be.
    pub(in super::super) fn nodes_complete(&mut self) {
        self.lists.has_nodes = true;
    }

    /// The pool of a node; none when the node is gone.
    pub(in super::super) fn pool(&mut self, node: Arc<str>, pool: Option<Arc<str>>) {
        if self.pools.get(&node) == pool.as_ref() {
            return;
        }
        self.dirty.extend(
            self.all
                .iter()
                .filter(|(_, subject)| subject.runs_on(&node))
                .map(|(uid, _)| *uid),
        );
        match pool {
            Some(pool) => self.pools.insert(node, pool),
            None => self.pools.remove(&node),
        };
    }
}

impl Subject {
    /// The component and the key of a pod; pods that have both in common are of the same generation.
    pub(super) fn group_name(&self, pod: &Pod) -> (String, String) {
        let file = &self.kind.pods;
        (
            pod.component(file).unwrap_or_default().to_owned(),
            pod.key(file).unwrap_or_default().to_owned(),
        )
    }

    /// Forgets the birth of groups that have no pods, once there are many. A key whose pods are all gone comes back only
    /// with pods that are newer, or by a rollback.
    fn forget_groups(&mut self) {
        if self.born.len() <= REMEMBERED {
            return;
        }
        let file = &self.kind.pods;
        let there: HashSet<_> = self
            .pods
            .values()
            .map(|pod| pod.key(file).unwrap_or_default())
            .collect();
        self.born.retain(|(_, key), _| there.contains(key.as_str()));
    }

    fn runs_on(&self, node: &Arc<str>) -> bool {
        self.pods
            .values()
            .any(|pod| pod.node.as_ref() == Some(node))
    }
}
