//! The outside witness: what etcd stored, from its first revision on. Shares no code with Revisor.
//!
//! etcd's HTTP gateway streams every write. From that follows which generations have to be recorded: the first of
//! every workload, and each whose spec differs from that of the generation before, unless an autoscaler alone did it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// (uid, generation) to the spec as JSON text.
pub type Expected = BTreeMap<(String, i64), Spec>;

/// A spec that can be compared whatever its depth.
#[derive(Clone, Debug)]
pub struct Spec {
    text: String,
    value: Option<Value>,
}

impl Spec {
    pub fn new(text: &str) -> Self {
        // Beyond serde_json's depth only the text is compared: the API server writes custom resources in one way.
        Self {
            text: text.to_owned(),
            value: serde_json::from_str(text).ok(),
        }
    }
}

impl Spec {
    /// As a value; null beyond serde_json's depth.
    pub fn value(&self) -> Value {
        self.value.clone().unwrap_or_default()
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Some(a), Some(b)) => a == b,
            _ => self.text == other.text,
        }
    }
}

/// One stored state of one object.
#[derive(Clone)]
struct State {
    /// etcd's revision.
    written: u64,
    namespace: String,
    uid: String,
    generation: i64,
    spec: Spec,
    scaled_by_autoscaler: bool,
}

#[derive(Default)]
struct Seen {
    /// By the part of the key after /registry/ that names the kind, in the order of writing.
    states: BTreeMap<String, Vec<State>>,
    failed: Option<String>,
    /// How often etcd was restored.
    restored: u32,
}

/// A running watch of etcd.
#[derive(Clone)]
pub struct Oracle {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    namespace: Option<String>,
    uid: String,
    #[serde(default)]
    generation: i64,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

impl Oracle {
    /// Watches `kinds` (`apps/deployments` is stored as `deployments`) from revision 1.
    pub fn start(etcd: &str, kinds: &[&str]) -> Self {
        let oracle = Self {
            seen: Arc::default(),
        };
        for kind in kinds {
            let this = oracle.clone();
            let kind = (*kind).to_owned();
            let address = etcd.trim_start_matches("http://").to_owned();
            std::thread::spawn(move || {
                // etcd may be restarted; the cluster goes with the process.
                while Arc::strong_count(&this.seen) > 1 {
                    let _ = this.follow(&address, &kind);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        oracle
    }

    fn follow(&self, address: &str, kind: &str) -> std::io::Result<()> {
        let prefix = format!("/registry/{kind}/");
        let end = format!("/registry/{kind}0");
        let encode = |key: &str| BASE64_STANDARD.encode(key);
        let (from, restored) = {
            let seen = self.seen.lock().expect("no panic");
            let last = seen.states.get(kind).and_then(|states| states.last());
            (last.map_or(1, |state| state.written + 1), seen.restored)
        };
        let create = json!({"create_request": {"key": encode(&prefix), "range_end": encode(&end), "start_revision": from.to_string()}});
        let body = create.to_string();
        let mut stream = TcpStream::connect(address)?;
        let length = body.len();
        write!(
            stream,
            "POST /v3/watch HTTP/1.1\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut lines = Chunks {
            stream: BufReader::new(stream),
            left: 0,
            started: false,
        };
        let mut line = Vec::new();
        loop {
            line.clear();
            lines.line(&mut line)?;
            self.note(kind, restored, &serde_json::from_slice(&line)?);
        }
    }

    fn note(&self, kind: &str, restored: u32, message: &Value) {
        let result = &message["result"];
        let mut seen = self.seen.lock().expect("no panic");
        if result["canceled"] == true {
            seen.failed = Some(format!("{kind}: {result}"));
        }
        let text = |value: &str| {
            String::from_utf8(BASE64_STANDARD.decode(value).expect("base64")).expect("JSON storage")
        };
        let one = |event: &Value| {
            // A deletion has no value.
            let value = event["kv"]["value"].as_str()?;
            let written = event["kv"]["mod_revision"].as_str()?.parse().ok()?;
            Some(state(&text(value), written))
        };
        let states: Vec<_> = result["events"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(one)
            .collect();
        if seen.restored == restored {
            seen.states
                .entry(kind.to_owned())
                .or_default()
                .extend(states);
        }
    }

    /// etcd was restored to what it was at `revision`: what was written later never was.
    pub fn restored(&self, revision: u64) {
        let mut seen = self.seen.lock().expect("no panic");
        seen.restored += 1;
        seen.states
            .values_mut()
            .for_each(|states| states.retain(|state| state.written <= revision));
    }

    /// Where each generation of `kind` in `namespace` was followed by the next; none for the newest of a workload.
    pub fn superseded(&self, kind: &str, namespace: &str) -> BTreeMap<(String, i64), Option<u64>> {
        let seen = self.seen.lock().expect("no panic");
        let mut all: BTreeMap<(String, i64), Option<u64>> = BTreeMap::new();
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for state in seen
            .states
            .get(kind)
            .into_iter()
            .flatten()
            .filter(|s| s.namespace == namespace)
        {
            let before = newest.insert(&state.uid, state.generation);
            if let Some(before) = before.filter(|before| *before != state.generation) {
                all.insert((state.uid.clone(), before), Some(state.written));
            }
            all.entry((state.uid.clone(), state.generation))
                .or_default();
        }
        all
    }

    /// Every generation of `kind` that was ever stored in `namespace`.
    pub fn generations(&self, kind: &str, namespace: &str) -> BTreeSet<(String, i64)> {
        let seen = self.seen.lock().expect("no panic");
        let states = seen
            .states
            .get(kind)
            .into_iter()
            .flatten()
            .filter(|s| s.namespace == namespace);
        states
            .map(|state| (state.uid.clone(), state.generation))
            .collect()
    }

    /// What has to be recorded of `kind` in `namespace`, of what was seen so far.
    pub fn expected(&self, kind: &str, namespace: &str) -> Expected {
        let seen = self.seen.lock().expect("no panic");
        assert_eq!(seen.failed, None, "the watch of etcd failed");
        let mut last: BTreeMap<String, State> = BTreeMap::new();
        let mut expected = Expected::new();
        for state in seen
            .states
            .get(kind)
            .into_iter()
            .flatten()
            .filter(|s| s.namespace == namespace)
        {
            let before = last.get(&state.uid);
            if before.is_none_or(|before| is_change(before, state)) {
                expected.insert((state.uid.clone(), state.generation), state.spec.clone());
            }
            last.insert(state.uid.clone(), state.clone());
        }
        expected
    }

    /// Forgets the states of a namespace, which are not needed any more; the newest of a kind says where to go on.
    pub fn forget(&self, namespace: &str) {
        let mut seen = self.seen.lock().expect("no panic");
        for states in seen.states.values_mut() {
            let newest = states.last().map(|state| state.written);
            states.retain(|state| state.namespace != namespace || Some(state.written) == newest);
        }
    }

    /// Waits until a workload's generation has been seen.
    pub fn wait_for(&self, kind: &str, uid: &str, generation: i64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            let seen = self.seen.lock().expect("no panic");
            if seen
                .states
                .get(kind)
                .is_some_and(|s| s.iter().any(|s| s.uid == uid && s.generation >= generation))
            {
                return;
            }
            drop(seen);
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("etcd did not show generation {generation} of {uid}");
    }
}

/// Up to where etcd has forgotten its history: the first revision that can be read.
pub fn compaction(etcd: &str) -> u64 {
    let address = etcd.trim_start_matches("http://");
    let mut forgotten = 0;
    let mut known = header_revision(&range(address, 0));
    while known - forgotten > 1 {
        let middle = forgotten + (known - forgotten) / 2;
        if range(address, middle).contains("compacted") {
            forgotten = middle;
        } else {
            known = middle;
        }
    }
    known
}

/// The answer to a read of no key at a revision; 0 stands for the present.
fn range(address: &str, revision: u64) -> String {
    let body = json!({"key": BASE64_STANDARD.encode("none"), "revision": revision.to_string()})
        .to_string();
    let mut stream = TcpStream::connect(address).expect("etcd");
    let length = body.len();
    write!(stream, "POST /v3/kv/range HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

fn header_revision(answer: &str) -> u64 {
    let answer: Value = serde_json::from_str(answer).expect("JSON");
    answer["header"]["revision"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a revision")
}

fn state(text: &str, written: u64) -> State {
    let object: Object<'_> = serde_json::from_str(text).expect("an object");
    let spec = object.spec.map_or("null", RawValue::get);
    State {
        written,
        namespace: object.metadata.namespace.unwrap_or_default(),
        uid: object.metadata.uid,
        generation: object.metadata.generation,
        spec: Spec::new(spec),
        scaled_by_autoscaler: only_autoscaler_owns_replicas(object.metadata.managed_fields),
    }
}

fn only_autoscaler_owns_replicas(entries: Option<&RawValue>) -> bool {
    // Entries that are nested too deeply for serde_json are no autoscaler's.
    let entries: Vec<Value> = entries
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    let owners: Vec<_> = entries
        .iter()
        .filter(|e| !e["fieldsV1"]["f:spec"]["f:replicas"].is_null())
        .collect();
    let autoscaler =
        |e: &&Value| e["manager"] == "kube-controller-manager" && e["subresource"] == "scale";
    !owners.is_empty() && owners.iter().all(autoscaler)
}

fn is_change(before: &State, after: &State) -> bool {
    let without_replicas = |spec: &Spec| {
        let mut value = spec.value.clone().unwrap_or_default();
        value
            .as_object_mut()
            .map(|fields| fields.remove("replicas"));
        value
    };
    let autoscaled = after.scaled_by_autoscaler
        && without_replicas(&before.spec) == without_replicas(&after.spec);
    before.generation != after.generation && before.spec != after.spec && !autoscaled
}

/// HTTP/1.1 chunks as lines.
struct Chunks {
    stream: BufReader<TcpStream>,
    left: usize,
    started: bool,
}

impl Chunks {
    fn line(&mut self, line: &mut Vec<u8>) -> std::io::Result<()> {
        if !self.started {
            self.skip_head()?;
        }
        loop {
            if self.left == 0 {
                self.left = self.chunk_size()?;
            }
            let available = self.stream.fill_buf()?;
            if available.is_empty() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let here = &available[..available.len().min(self.left)];
            let end = here.iter().position(|b| *b == b'\n');
            let taken = end.map_or(here.len(), |at| at + 1);
            line.extend_from_slice(&here[..taken]);
            self.stream.consume(taken);
            self.left -= taken;
            if self.left == 0 {
                let mut newline = [0; 2];
                self.stream.read_exact(&mut newline)?;
            }
            if end.is_some() {
                return Ok(());
            }
        }
    }

    fn skip_head(&mut self) -> std::io::Result<()> {
        self.started = true;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            self.stream.read_line(&mut line)?;
        }
        Ok(())
    }

    fn chunk_size(&mut self) -> std::io::Result<usize> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)
    }
}
