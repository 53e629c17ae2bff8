//! GET, LIST and the opening of a WATCH.

use super::Servers;
use super::answer::{Answer, about, expired, shown, status};
use crate::call::Call;
use crate::etcd::{Entry, Key, Kind, Revision};
use crate::kinds::CONFIG_MAP;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use std::time::Duration;

/// A watch without a limit of its own lasts so long.
const WATCH_SECONDS: u64 = 300;

/// A watch that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    pub server: usize,
    pub kind: &'static Kind,
    pub namespace: Option<String>,
    pub labels: Labels,
    pub metadata_only: bool,
    pub bookmarks: bool,
    pub from: Revision,
    pub lasts: Duration,
    /// The history from there is gone: the only event says so.
    pub expired: bool,
}

/// A label selector: keys that have to be there, some with a value.
#[derive(Clone, Debug, Default)]
pub struct Labels(Vec<(String, Option<String>)>);

impl Labels {
    fn read(selector: &str) -> Self {
        let terms = selector.split(',').filter(|term| !term.is_empty());
        let term = |term: &str| match term.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (term.to_owned(), None),
        };
        Self(terms.map(term).collect())
    }

    /// Whether an object has all of them.
    pub fn select(&self, object: &Value) -> bool {
        self.0.iter().all(|(key, value)| {
            let label = object["metadata"]["labels"][key].as_str();
            label.is_some_and(|label| value.as_ref().is_none_or(|value| value == label))
        })
    }
}

impl Servers {
    pub(super) fn get(&self, call: &Call, key: &Key) -> Answer {
        if *key.kind == CONFIG_MAP
            && let Some(hidden) = self.hide(key)
        {
            return hidden;
        }
        match self.etcd.get(key) {
            Some(entry) => Answer::object(200, entry, call.metadata_only),
            None => about(404, "NotFound", key, "not found"),
        }
    }

    pub(super) fn list(
        &self,
        server: usize,
        call: &Call,
        kind: &'static Kind,
        namespace: Option<&str>,
    ) -> Answer {
        let token = call.query("continue");
        let (at, after) = if token.is_empty() {
            match self.place(server, call) {
                Ok(at) => (at, None),
                Err(answer) => return answer,
            }
        } else {
            match read_token(token) {
                Some((at, after)) if at >= self.etcd.compacted() => (at, Some(after)),
                Some(_) => {
                    return expired(
                        "The provided continue parameter is too old to display a consistent list result.",
                    );
                }
                None => return status(400, "BadRequest", "continue key is not valid"),
            }
        };
        let selector = call.query("fieldSelector");
        let name = selector.strip_prefix("metadata.name=");
        let workload = selector.strip_prefix("spec.workload.uid=");
        let labels = Labels::read(call.query("labelSelector"));
        let limit = call.query("limit").parse().unwrap_or(usize::MAX);
        let mut entries: Vec<&Entry> = self
            .etcd
            .range(kind, namespace, at)
            .filter(|entry| name.is_none_or(|name| entry.key.name == name))
            .filter(|entry| {
                let of = &entry.object.value["spec"]["workload"]["uid"];
                workload.is_none_or(|workload| of == workload)
            })
            .filter(|entry| labels.select(&entry.object.value))
            .filter(|entry| {
                after
                    .as_ref()
                    .is_none_or(|after| key_text(&entry.key) > *after)
            })
            .collect();
        let is_cut = entries.len() > limit;
        entries.truncate(limit);
        let next = entries
            .last()
            .filter(|_| is_cut)
            .map(|last| write_token(at, &key_text(&last.key)));
        Answer::text(200, page(call, kind, at, next, &entries))
    }

    /// The place of which a list tells.
    fn place(&self, server: usize, call: &Call) -> Result<Revision, Answer> {
        let asked = call.query("resourceVersion");
        if asked.is_empty() {
            return Ok(self.etcd.revision());
        }
        let Ok(at) = asked.parse::<Revision>() else {
            return Err(status(400, "BadRequest", "Invalid value: resourceVersion"));
        };
        if call.query("resourceVersionMatch") != "Exact" {
            return Ok(self.visible(server).max(at));
        }
        if at == 0 {
            let message = "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: \
                Forbidden: \
                resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"";
            Err(status(422, "Invalid", message))
        } else if at < self.etcd.compacted() {
            Err(expired(&format!(
                "The resourceVersion for the provided list is too old: {at}"
            )))
        } else if at > self.etcd.revision() {
            Err(status(
                504,
                "Timeout",
                &format!("Too large resource version: {at}"),
            ))
        } else {
            Ok(at)
        }
    }

    pub(super) fn open(
        &self,
        server: usize,
        call: &Call,
        kind: &'static Kind,
        namespace: Option<String>,
    ) -> Answer {
        let Ok(from) = call.query("resourceVersion").parse() else {
            return status(400, "BadRequest", "Invalid value: resourceVersion");
        };
        Answer::Watch(Opened {
            server,
            kind,
            namespace,
            labels: Labels::read(call.query("labelSelector")),
            metadata_only: call.metadata_only,
            bookmarks: call.query("allowWatchBookmarks") == "true",
            from,
            lasts: Duration::from_secs(
                call.query("timeoutSeconds")
                    .parse()
                    .unwrap_or(WATCH_SECONDS),
            ),
            expired: from < self.oldest(server, kind),
        })
    }

    /// The oldest place from which a server can watch a kind.
    fn oldest(&self, server: usize, kind: &'static Kind) -> Revision {
        let since = self.servers[server].since;
        let events = self.etcd.since(since);
        let held = events
            .iter()
            .rev()
            .filter(|entry| entry.key.kind == kind)
            .nth(self.window);
        held.map_or(since, |first_dropped| first_dropped.at)
    }
}

fn page(
    call: &Call,
    kind: &Kind,
    at: Revision,
    next: Option<String>,
    entries: &[&Entry],
) -> String {
    let (list, api_version) = if call.metadata_only {
        (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        )
    } else {
        (format!("{}List", kind.kind), kind.api_version())
    };
    let items: Vec<_> = entries
        .iter()
        .map(|entry| shown(&entry.object, call.metadata_only))
        .collect();
    let next = next.map_or(String::new(), |token| format!(",\"continue\":\"{token}\""));
    format!(
        "{{\"kind\":\"{list}\",\"apiVersion\":\"{api_version}\",\"metadata\":{{\"resourceVersion\":\"{at}\"{next}}},\"items\":[{}]}}",
        items.join(",")
    )
}

/// The order of keys in etcd.
fn key_text(key: &Key) -> String {
    format!("{}/{}", key.namespace, key.name)
}

fn write_token(at: Revision, after: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{at} {after}"))
}

fn read_token(token: &str) -> Option<(Revision, String)> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (at, after) = text.split_once(' ')?;
    Some((at.parse().ok()?, after.to_owned()))
}
