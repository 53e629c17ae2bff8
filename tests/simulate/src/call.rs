//! A request to the API server, read.

use crate::etcd::Kind;
use crate::kinds::{CONFIG_MAP, EVENT, KINDS, LEASE, REVISION, is_workload};
use http::request::Parts;
use http::{Method, header};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// A request, read.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub target: Target,
    pub query: BTreeMap<String, String>,
    /// Whether only metadata is asked for.
    pub metadata_only: bool,
    pub body: Vec<u8>,
}

/// The resource that a path names.
#[derive(Clone, Debug)]
pub enum Target {
    /// The resources of a group and version.
    Discovery(String),
    Collection {
        kind: &'static Kind,
        namespace: Option<String>,
    },
    Object {
        kind: &'static Kind,
        namespace: String,
        name: String,
        subresource: Option<String>,
    },
    Unknown,
}

/// The part that a request plays, as faults aim at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// LIST of the present of a recorded kind.
    List,
    /// LIST of a recorded kind at a place in the past.
    Exact,
    /// WATCH of a recorded kind.
    Watch,
    /// LIST or WATCH of Revisions.
    Feed,
    /// POST of a Revision.
    Create,
    /// GET of a Revision.
    Compare,
    /// PATCH of the status of a Revision.
    Status,
    Checkpoint,
    Lease,
    Event,
    Other,
}

impl Call {
    pub fn read(parts: &Parts, body: Vec<u8>) -> Self {
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        let accept = parts.headers.get(header::ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        Self {
            method: parts.method.clone(),
            target: Target::read(&percent_decode_str(parts.uri.path()).decode_utf8_lossy()),
            query,
            metadata_only: accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata")),
            body,
        }
    }

    pub fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    pub fn is_watch(&self) -> bool {
        matches!(self.query("watch"), "true" | "1")
    }

    /// Whether nothing is stored, whatever the answer says.
    pub fn is_dry_run(&self) -> bool {
        self.query("dryRun") == "All"
    }

    pub fn class(&self) -> Class {
        if self.is_dry_run() {
            return Class::Other;
        }
        let (kind, named) = match &self.target {
            Target::Collection { kind, .. } => (*kind, false),
            Target::Object { kind, .. } => (*kind, true),
            Target::Discovery(_) | Target::Unknown => return Class::Other,
        };
        let is_read = self.method == Method::GET;
        if is_workload(kind) {
            match (self.is_watch(), self.query("resourceVersionMatch")) {
                (true, _) => Class::Watch,
                (false, "Exact") => Class::Exact,
                (false, _) => Class::List,
            }
        } else if *kind == REVISION {
            match (is_read, named) {
                (true, false) => Class::Feed,
                (true, true) => Class::Compare,
                (false, false) => Class::Create,
                (false, true) => Class::Status,
            }
        } else if *kind == CONFIG_MAP {
            Class::Checkpoint
        } else if *kind == LEASE {
            Class::Lease
        } else if *kind == EVENT {
            Class::Event
        } else {
            Class::Other
        }
    }
}

impl Target {
    fn read(path: &str) -> Self {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (api_version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return Self::Unknown,
        };
        let find = |plural: &str| {
            KINDS
                .into_iter()
                .find(|kind| kind.plural == plural && kind.api_version() == api_version)
        };
        let (namespace, rest) = match rest {
            [] => return Self::Discovery(api_version),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, named) = (rest[0], &rest[1..]);
        let Some(kind) = find(plural) else {
            return Self::Unknown;
        };
        match named {
            [] => Self::Collection {
                kind,
                namespace: namespace.map(str::to_owned),
            },
            [name, sub @ ..] => Self::Object {
                kind,
                namespace: namespace.unwrap_or_default().to_owned(),
                name: (*name).to_owned(),
                subresource: sub.first().map(|sub| (*sub).to_owned()),
            },
        }
    }
}
