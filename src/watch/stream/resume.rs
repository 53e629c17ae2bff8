//! Changes that were postponed, because there was no room for those of their namespace, are read back when there is.

use super::super::join::{Behind, ObjectName};
use super::super::known::Postponed;
use super::super::repair::{LastState, ObjectPast};
use super::Stream;
use super::read_back::SIDE_BY_SIDE;
use crate::watch::exact::{Exact, Unserved};
use crate::watch::{Lost, Reason, Recorded, Sink};
use crate::workload::{Resource, ResourceVersion, Version};
use futures::StreamExt;
use std::sync::Arc;
use uuid::Uuid;

/// The past of an object whose changes were postponed.
enum Past {
    /// It is there.
    There(Behind, ObjectPast),
    /// It is gone at that place, after this last state.
    Gone(LastState, ResourceVersion),
}

impl<S: Sink> Stream<S> {
    /// Passes on the postponed changes for which there is room.
    pub(super) async fn resume(&mut self, resource: &Arc<Resource>) -> Result<(), Unserved> {
        loop {
            let next = self.outlet.resume(SIDE_BY_SIDE);
            if next.is_empty() {
                return Ok(());
            }
            let pasts = next.into_iter().map(|(uid, postponed)| {
                let from = self.outlet.known().last(uid).unwrap_or(postponed.before());
                let exact = self.exact.clone();
                async move {
                    let past = past(&exact, resource, uid, from, &postponed).await;
                    (uid, from, postponed, past)
                }
            });
            let mut pasts =
                futures::stream::iter(pasts.collect::<Vec<_>>()).buffer_unordered(SIDE_BY_SIDE);
            while let Some((uid, from, postponed, past)) = pasts.next().await {
                self.pass_on(resource, uid, from, &postponed, past?).await?;
                self.outlet.resumed(uid, &postponed).await;
            }
        }
    }

    async fn pass_on(
        &mut self,
        resource: &Arc<Resource>,
        uid: Uuid,
        from: Version,
        postponed: &Postponed,
        past: Past,
    ) -> Result<(), Unserved> {
        match past {
            Past::There(behind, history) => self.tell(resource, &behind, history).await,
            Past::Gone(LastState::Last(last) | LastState::Earlier(last), by) => {
                let behind = Behind {
                    shown: postponed.first.generation,
                    ..Behind::new(&last, from, true, None)
                };
                self.ended_before(resource, behind, last, by).await
            }
            Past::Gone(LastState::Compacted, _) => {
                self.lose(resource, lost(resource, uid, from, postponed))
                    .await?;
                self.gone(resource, gone(uid, postponed)).await
            }
        }
    }
}

/// Reads the past of an object after the state `from`, the last one that was passed on.
async fn past(
    exact: &Exact,
    resource: &Arc<Resource>,
    uid: Uuid,
    from: Version,
    postponed: &Postponed,
) -> Result<Past, Unserved> {
    let of = ObjectName {
        namespace: postponed.namespace.clone(),
        name: postponed.name.clone(),
        uid,
    };
    let Postponed { first, last, .. } = postponed;
    if let Some(gone) = postponed.gone {
        let there = postponed.there.max(from.at);
        let state = exact.last_state(resource, &of, there, gone).await?;
        return Ok(Past::Gone(state, gone));
    }
    let behind = Behind {
        of,
        from,
        refresh: false,
        to: *last,
        listed: Some(last.at),
        created: postponed.created,
        shown: first.generation,
    };
    let history = exact.history(resource, &behind).await?;
    Ok(Past::There(behind, history))
}

/// The generations that the watch has shown, and that are compacted now.
fn lost(resource: &Resource, uid: Uuid, from: Version, postponed: &Postponed) -> Lost {
    Lost {
        uid,
        namespace: postponed.namespace.clone(),
        name: postponed.name.clone(),
        generations: from.generation + 1..=postponed.last.generation,
        reason: Reason::Compacted,
        from: postponed.first.at,
        at: postponed.last.at,
        api_version: resource.api_version(),
    }
}

/// The workload whose end is compacted.
fn gone(uid: Uuid, postponed: &Postponed) -> Recorded {
    Recorded {
        uid,
        namespace: postponed.namespace.clone(),
        name: postponed.name.clone(),
        version: postponed.last,
    }
}
