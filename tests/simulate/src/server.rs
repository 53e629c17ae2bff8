//! The API servers: two behind one address, over one etcd. Each has a watch cache of its own.
//!
//! In: a [`Call`] and the server that it reaches. Out: an [`Answer`]; a watch is opened here and goes on in
//! [`watch`](crate::watch). The behaviour is that of kube-apiserver 1.37 as far as Revisor can see it; a comparison
//! with the real one holds it there.

mod admission;
mod answer;
mod definition;
mod read;
mod refusal;
mod write;

pub use admission::Denied;
pub use answer::{Answer, event, shown, status, status_text};
pub use read::Opened;

use crate::call::{Call, Target};
use crate::etcd::{Entry, Etcd, Key, Kind, Op, Revision};
use crate::kinds::{KINDS, NAMESPACE, REVISION};
use crate::os::EPOCH;
use admission::Admission;
use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A server's watch cache.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// The place at which it began; nothing before it can be watched.
    pub since: Revision,
    /// Until then it hears nothing new from etcd.
    pub frozen: Option<(Revision, Instant)>,
}

/// The control plane.
pub struct Servers {
    pub etcd: Etcd,
    pub servers: [Server; 2],
    /// The number of events of a kind that a watch cache holds.
    pub window: usize,
    /// The time by which the servers' clocks are ahead of that of the replicas.
    pub skew: TimeDelta,
    pub rng: fastrand::Rng,
    admission: Admission,
    /// Until then the definition of Revisions is gone.
    undefined: Option<Instant>,
    start: Instant,
    objects: u64,
    /// Every write since it was last taken.
    written: Vec<Entry>,
}

impl Servers {
    /// A control plane with the namespaces of a history.
    pub fn new(seed: u64, namespaces: &[&str]) -> Self {
        let etcd = Etcd::new();
        let server = Server {
            since: etcd.revision(),
            frozen: None,
        };
        let mut servers = Self {
            etcd,
            servers: [server; 2],
            window: 1000,
            skew: TimeDelta::zero(),
            rng: fastrand::Rng::with_seed(seed),
            admission: Admission::default(),
            undefined: None,
            start: Instant::now(),
            objects: 0,
            written: Vec::new(),
        };
        for name in namespaces {
            let key = Key {
                kind: &NAMESPACE,
                namespace: String::new(),
                name: (*name).to_owned(),
            };
            servers.create(&key, json!({"metadata": {"name": name}}));
        }
        servers
    }

    /// The time on the servers' clocks.
    pub fn now(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.start.elapsed()).unwrap_or_default();
        DateTime::from_timestamp(EPOCH, 0).unwrap_or_default() + elapsed + self.skew
    }

    /// The newest place that a server's cache has heard of.
    pub fn visible(&self, server: usize) -> Revision {
        match self.servers[server].frozen {
            Some((at, until)) if Instant::now() < until => at,
            _ => self.etcd.revision(),
        }
    }

    /// The writes since this was last called.
    pub fn take_written(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.written)
    }

    /// The definition of Revisions is gone for a while.
    pub fn undefine(&mut self, lasts: Duration) {
        self.undefined = Some(Instant::now() + lasts);
    }

    fn is_undefined(&self, kind: &Kind) -> bool {
        *kind == REVISION && self.undefined.is_some_and(|until| Instant::now() < until)
    }

    /// Answers a request that reaches `server`.
    pub fn answer(&mut self, server: usize, call: &Call) -> Answer {
        if let Target::Collection { kind, .. } | Target::Object { kind, .. } = &call.target
            && self.is_undefined(kind)
        {
            return Answer::text(404, "404 page not found\n".to_owned());
        }
        match (&call.target, call.method.clone()) {
            (Target::Discovery(api_version), Method::GET) => discovery(api_version),
            (Target::Collection { kind, namespace }, Method::GET) if call.is_watch() => {
                self.open(server, call, kind, namespace.clone())
            }
            (Target::Collection { kind, namespace }, Method::GET) => {
                self.list(server, call, kind, namespace.as_deref())
            }
            (Target::Collection { kind, namespace }, Method::POST) => {
                self.post(call, kind, namespace.clone().unwrap_or_default())
            }
            (
                Target::Object {
                    kind,
                    namespace,
                    name,
                    subresource,
                },
                method,
            ) => {
                let key = Key {
                    kind,
                    namespace: namespace.clone(),
                    name: name.clone(),
                };
                self.named(&method, call, &key, subresource.as_deref())
            }
            _ => unknown(),
        }
    }

    fn named(
        &mut self,
        method: &Method,
        call: &Call,
        key: &Key,
        subresource: Option<&str>,
    ) -> Answer {
        if subresource.is_some_and(|of| of != "status" || !key.kind.has_status) {
            return unknown();
        }
        match *method {
            Method::GET => self.get(call, key),
            Method::PUT => self.replace(call, key),
            Method::PATCH => self.patch(call, key, subresource),
            Method::DELETE => self.delete(call, key),
            _ => status(
                405,
                "MethodNotAllowed",
                "the server does not allow this method",
            ),
        }
    }

    /// An identity for a new object.
    fn uid(&mut self) -> Uuid {
        self.objects += 1;
        Uuid::from_u128((u128::from(self.rng.u64(..)) << 64) | u128::from(self.objects))
    }

    fn put(&mut self, key: &Key, op: Op, object: Value) -> Entry {
        let time = self.now();
        // Other kinds are written too.
        let skip = if self.rng.u8(..4) == 0 {
            self.rng.u64(..6)
        } else {
            0
        };
        let entry = self.etcd.put(key, op, object, time, skip);
        self.written.push(entry.clone());
        entry
    }
}

fn unknown() -> Answer {
    status(
        404,
        "NotFound",
        "the server could not find the requested resource",
    )
}

fn discovery(api_version: &str) -> Answer {
    let served: Vec<&Kind> = KINDS
        .into_iter()
        .filter(|kind| kind.api_version() == api_version)
        .collect();
    if served.is_empty() {
        return Answer::text(404, "404 page not found\n".to_owned());
    }
    let resources: Vec<_> = served
        .iter()
        .map(|kind| {
            json!({
                "name": kind.plural, "singularName": "", "kind": kind.kind, "namespaced": kind.namespaced,
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            })
        })
        .collect();
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources,
    });
    Answer::text(200, list.to_string())
}
