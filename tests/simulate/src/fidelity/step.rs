//! One request of a conversation, as each side is asked it.

use crate::etcd::Kind;
use crate::kinds::{CONFIG_MAP, DEPLOYMENT, REVISION};
use http::{Method, Request, header};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// One request.
#[derive(Clone, Debug)]
pub struct Step {
    kind: &'static Kind,
    name: String,
    ask: Ask,
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Create,
    /// A create that stores nothing.
    DryRun,
    Get {
        metadata: bool,
    },
    Spec(u32),
    /// The change that is there already.
    Nothing,
    Annotation(u32),
    Status(u32),
    Finalizer {
        is_there: bool,
    },
    Replace(u32, Precondition),
    Delete,
    List {
        metadata: bool,
    },
    /// One object at the place of that number.
    Exact(usize),
    /// One object at a place that is not there yet.
    Future,
    /// Pages of one object each.
    Page {
        next: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Precondition {
    None,
    Last,
    Old,
}

/// The answers of one side so far.
pub struct Memory {
    namespace: String,
    /// The last state of each object.
    objects: BTreeMap<(String, String), Value>,
    /// The resourceVersions, in the order in which they came.
    places: Vec<String>,
    token: String,
}

impl Memory {
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            objects: BTreeMap::new(),
            places: Vec::new(),
            token: String::new(),
        }
    }

    /// The number of places that are known.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// The last known resourceVersion of an object.
    pub fn version(&self, object: &Value) -> Option<&str> {
        let uid = object["metadata"]["uid"].as_str();
        let known = self
            .objects
            .values()
            .find(|known| known["metadata"]["uid"].as_str() == uid)?;
        known["metadata"]["resourceVersion"].as_str()
    }

    /// Takes in an answer.
    pub fn remember(&mut self, step: &Step, answer: &Value) {
        if matches!(step.ask, Ask::List { .. } | Ask::Page { .. }) {
            let token = answer["metadata"]["continue"].as_str();
            token.unwrap_or_default().clone_into(&mut self.token);
        }
        let is_elsewhere = matches!(step.ask, Ask::Exact(_) | Ask::Page { .. } | Ask::DryRun);
        let is_whole = answer["metadata"]["uid"].is_string() && answer["kind"] == step.kind.kind;
        if is_elsewhere || !is_whole {
            return;
        }
        if let Some(at) = answer["metadata"]["resourceVersion"].as_str() {
            self.places.push(at.to_owned());
        }
        let key = (step.kind.plural.to_owned(), step.name.clone());
        self.objects.insert(key, answer.clone());
    }
}

impl Step {
    pub fn draw(rng: &mut fastrand::Rng, kinds: &[&'static Kind], places: usize) -> Self {
        let kind = kinds[rng.usize(..kinds.len())];
        let value = rng.u32(..3);
        let ask = match rng.u8(..20) {
            0..4 => Ask::Create,
            4 => [Ask::Create, Ask::DryRun][rng.usize(..2)],
            5 => Ask::Get {
                metadata: rng.bool(),
            },
            6..8 => Ask::Spec(value),
            8 => Ask::Nothing,
            9 => Ask::Annotation(value),
            10 => Ask::Status(value),
            11 => Ask::Finalizer {
                is_there: rng.bool(),
            },
            12 => Ask::Replace(value, Precondition::None),
            13 => Ask::Replace(value, Precondition::Last),
            14 => Ask::Replace(value, Precondition::Old),
            15..17 => Ask::Delete,
            17 => Ask::List {
                metadata: rng.bool(),
            },
            18 if places > 0 && rng.u8(..4) > 0 => Ask::Exact(rng.usize(..places)),
            18 => Ask::Future,
            _ => Ask::Page { next: rng.bool() },
        };
        Self {
            kind,
            name: format!("w{}", rng.u8(..2)),
            ask,
        }
    }

    /// The request, with what one side has answered.
    ///
    /// # Errors
    /// When a URI is not valid.
    pub fn request(&self, memory: &Memory) -> anyhow::Result<Request<Vec<u8>>> {
        let (method, body) = self.content(memory);
        let content_type = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            JSON
        };
        let accept = match self.ask {
            Ask::Get { metadata: true } => METADATA,
            Ask::List { metadata: true } => METADATA_LIST,
            _ => JSON,
        };
        let body = body.map_or(Vec::new(), |body| body.to_string().into_bytes());
        Ok(Request::builder()
            .method(method)
            .uri(self.uri(memory))
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, accept)
            .body(body)?)
    }

    fn uri(&self, memory: &Memory) -> String {
        let root = if self.kind.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        let all = format!(
            "{root}/{}/namespaces/{}/{}",
            self.kind.api_version(),
            memory.namespace,
            self.kind.plural
        );
        let named = format!("{all}?fieldSelector=metadata.name%3D{}", self.name);
        match self.ask {
            Ask::Create | Ask::List { .. } => all,
            Ask::DryRun => format!("{all}?dryRun=All"),
            Ask::Status(_) => format!("{all}/{}/status", self.name),
            Ask::Exact(number) => {
                exactly(&named, &memory.places[number.min(memory.places.len() - 1)])
            }
            Ask::Future => exactly(&named, "900000000"),
            Ask::Page { next: true } if !memory.token.is_empty() => {
                format!("{all}?limit=1&continue={}", memory.token)
            }
            Ask::Page { .. } => format!("{all}?limit=1"),
            _ => format!("{all}/{}", self.name),
        }
    }

    fn content(&self, memory: &Memory) -> (Method, Option<Value>) {
        match self.ask {
            Ask::Create | Ask::DryRun => (Method::POST, Some(self.object())),
            Ask::Spec(value) => (Method::PATCH, Some(self.change(value))),
            Ask::Nothing => (Method::PATCH, Some(json!({}))),
            Ask::Annotation(value) => (Method::PATCH, Some(note(value))),
            Ask::Status(value) => (Method::PATCH, Some(self.status(value))),
            Ask::Finalizer { is_there } => (Method::PATCH, Some(finalizers(is_there))),
            Ask::Replace(value, precondition) => {
                let object = self.replacement(memory, value, precondition);
                (Method::PUT, Some(object))
            }
            Ask::Delete => (Method::DELETE, None),
            _ => (Method::GET, None),
        }
    }

    fn object(&self) -> Value {
        let mut object = json!({
            "apiVersion": self.kind.api_version(), "kind": self.kind.kind,
            "metadata": {"name": self.name, "annotations": {"a": "b"}},
        });
        let more = if *self.kind == CONFIG_MAP {
            json!({"data": {"a": "b"}})
        } else if *self.kind == DEPLOYMENT {
            json!({"spec": {
                "replicas": 1, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            }})
        } else if *self.kind == REVISION {
            json!({"spec": {
                "id": "00000000-0000-5000-8000-000000000000", "type": "Baseline", "generation": 1,
                "workload": {"apiVersion": "a/v1", "kind": "K", "name": "n", "uid": "00000000-0000-4000-8000-000000000000"},
                "resourceVersion": "1", "observedVia": "Watch", "changeTime": "2026-01-01T00:00:00Z",
                "changeTimeSource": "Observed", "view": {"version": 1, "summary": "s"},
            }})
        } else {
            json!({"spec": {"predictor": {"minReplicas": 1}}})
        };
        for (field, value) in more.as_object().into_iter().flatten() {
            object[field] = value.clone();
        }
        object
    }

    /// A change of the content; of a Revision it is one that is refused when `value` is not 0.
    fn change(&self, value: u32) -> Value {
        if *self.kind == CONFIG_MAP {
            json!({"data": {"a": value.to_string()}})
        } else if *self.kind == DEPLOYMENT {
            json!({"spec": {"replicas": value}})
        } else if *self.kind == REVISION && value == 0 {
            json!({"spec": {"view": {"summary": "another"}}})
        } else if *self.kind == REVISION {
            json!({"spec": {"generation": value + 1}})
        } else {
            json!({"spec": {"predictor": {"minReplicas": value}}})
        }
    }

    fn status(&self, value: u32) -> Value {
        if *self.kind == REVISION {
            json!({"status": {"observedThrough": {"generation": value + 2, "resourceVersion": "7"}}})
        } else if *self.kind == DEPLOYMENT {
            json!({"status": {"observedGeneration": value + 1}})
        } else {
            json!({"status": {"observed": value}, "spec": {"ignored": true}})
        }
    }

    fn replacement(&self, memory: &Memory, value: u32, precondition: Precondition) -> Value {
        let key = (self.kind.plural.to_owned(), self.name.clone());
        let mut object = memory
            .objects
            .get(&key)
            .cloned()
            .unwrap_or_else(|| self.object());
        let change = self.change(value);
        merge(&mut object, &change);
        // A state that was read in another life of the name would name another uid.
        for field in [
            "uid",
            "creationTimestamp",
            "generation",
            "managedFields",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            object["metadata"]
                .as_object_mut()
                .map(|metadata| metadata.remove(field));
        }
        match precondition {
            Precondition::None => {
                object["metadata"]
                    .as_object_mut()
                    .map(|metadata| metadata.remove("resourceVersion"));
            }
            Precondition::Last => {}
            Precondition::Old => object["metadata"]["resourceVersion"] = "2".into(),
        }
        object
    }
}

fn note(value: u32) -> Value {
    json!({"metadata": {"annotations": {"note": value.to_string()}}})
}

fn finalizers(is_there: bool) -> Value {
    if is_there {
        json!({"metadata": {"finalizers": ["example.com/hold"]}})
    } else {
        json!({"metadata": {"finalizers": null}})
    }
}

fn exactly(uri: &str, at: &str) -> String {
    format!("{uri}&resourceVersion={at}&resourceVersionMatch=Exact")
}

fn merge(into: &mut Value, from: &Value) {
    match from {
        Value::Object(fields) => {
            for (field, value) in fields {
                merge(&mut into[field.as_str()], value);
            }
        }
        other => into.clone_from(other),
    }
}
