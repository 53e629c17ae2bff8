//! Judges the checkpoint: nothing before its place may be missing, and its time may not be later than its place.

use super::{Oracle, Promise};
use crate::etcd::{Entry, Etcd};
use crate::truth::Life;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

impl Oracle {
    pub(super) fn checkpoint(&mut self, entry: &Entry, etcd: &Etcd) {
        let Some(data) = entry.object.value["data"].as_object().cloned() else {
            return;
        };
        for (kind, text) in &data {
            let Some(text) = text.as_str() else { continue };
            let Ok(stored) = serde_json::from_str::<Value>(text) else {
                self.violated(Promise::CheckpointDurable, format!("{kind}: {text}"));
                continue;
            };
            self.blind(kind, &stored);
            let place = stored["resourceVersion"]
                .as_str()
                .and_then(|at| at.parse().ok());
            let place = place.unwrap_or_default();
            let ahead = self.ahead(kind, place).filter(|_| !self.is_deaf);
            if let Some(text) = ahead {
                let text = format!("{kind} is at {place}, and {text} is not stored");
                self.violated(Promise::CheckpointDurable, text);
            }
            let time = stored["time"]
                .as_str()
                .and_then(|time| time.parse::<DateTime<Utc>>().ok());
            let next = etcd.since(place).first();
            let is_late = |(time, next): (DateTime<Utc>, &Entry)| time > next.time;
            if !self.is_misled && time.zip(next).is_some_and(is_late) {
                let text = format!("{kind} is at {place}, which is older than {time:?}");
                self.violated(Promise::CheckpointTime, text);
            }
        }
    }

    /// Intervals that the checkpoint says are blind.
    fn blind(&mut self, kind: &str, stored: &Value) {
        let plural = format!(
            "{}s",
            kind.split('.').next().unwrap_or_default().to_lowercase()
        );
        for interval in stored["blind"].as_array().into_iter().flatten() {
            let end = |name: &str| interval[name].as_str().and_then(|at| at.parse().ok());
            if let Some((from, to)) = end("from").zip(end("to")) {
                let blind = (plural.clone(), from, to);
                if !self.said.blind.contains(&blind) {
                    self.said.blind.push(blind);
                }
            }
        }
    }

    /// Something of a kind that happened up to `place` and is not stored.
    fn ahead(&self, kind: &str, place: u64) -> Option<String> {
        let lives = self
            .truth
            .lives
            .iter()
            .filter(|(_, life)| life.group_kind == kind);
        for (workload, life) in lives.filter(|(_, life)| !self.said.covers(life)) {
            if let Some(generation) = self.unsettled(*workload, life, place) {
                return Some(life.describe(generation));
            }
            let has_ended = life.deleted.is_some_and(|deleted| deleted <= place);
            if has_ended && self.stored.has_any(*workload) && !self.stored.is_ended(*workload) {
                return Some(format!(
                    "the end of {} {}/{}",
                    life.kind, life.namespace, life.name
                ));
            }
        }
        None
    }

    fn unsettled(&self, workload: Uuid, life: &Life, place: u64) -> Option<i64> {
        life.states
            .range(life.since..)
            .take_while(|(_, state)| state.last <= place)
            .map(|(generation, _)| *generation)
            .find(|generation| !self.is_settled(workload, life, *generation))
    }
}
