//! The trace of a history: a digest of everything that crossed the network, and a timeline for people.

use crate::etcd::Entry;
use crate::fault::Injection;
use crate::kinds::{REVISION, is_workload};
use std::hash::{DefaultHasher, Hasher};
use tokio::time::Instant;

/// The trace of one history.
pub struct Trace {
    digest: DefaultHasher,
    /// The requests of the replicas, without times: equal when nothing changed for them.
    asked: DefaultHasher,
    start: Instant,
    verbose: bool,
    pub requests: u64,
}

impl Trace {
    pub fn new(verbose: bool) -> Self {
        // A hasher without keys: the digest is the same in every process.
        Self {
            digest: DefaultHasher::new(),
            asked: DefaultHasher::new(),
            start: Instant::now(),
            verbose,
            requests: 0,
        }
    }

    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    pub fn asked(&self) -> u64 {
        self.asked.finish()
    }

    fn line(&mut self, line: &str) {
        let elapsed = self.start.elapsed();
        self.digest.write_u128(elapsed.as_micros());
        self.digest.write(line.as_bytes());
        if self.verbose {
            println!("{:>10.3} {line}", elapsed.as_secs_f64());
        }
    }

    /// A request of a replica.
    pub fn asked_for(&mut self, replica: usize, method: &str, uri: &str, body: &[u8]) {
        self.requests += 1;
        self.asked.write(method.as_bytes());
        self.asked
            .write(uri.split('?').next().unwrap_or_default().as_bytes());
        self.digest.write(body);
        self.line(&format!(
            "replica {replica} > {method} {uri} ({} bytes)",
            body.len()
        ));
    }

    /// An answer that is on its way.
    pub fn answered(&mut self, replica: usize, number: u64, code: u16, bytes: usize) {
        self.line(&format!(
            "replica {replica} < {code} to request {number} ({bytes} bytes)"
        ));
    }

    /// An event that is on its way.
    pub fn told(&mut self, replica: usize, event: &str, entry: &Entry) {
        let name = &entry.key.name;
        self.line(&format!(
            "replica {replica} < {event} {} {name} at {}",
            entry.key.kind.plural, entry.at
        ));
    }

    /// Something that happens to a replica or to the world.
    pub fn note(&mut self, text: &str) {
        self.line(text);
    }

    pub fn struck(&mut self, injection: &Injection) {
        self.line(&format!(
            "FAULT {:?} (replica {}, {})",
            injection.fault, injection.replica, injection.size
        ));
    }

    pub fn wrote(&mut self, entry: &Entry) {
        let object = &entry.object.value;
        let kind = entry.key.kind;
        if !is_workload(kind) && *kind != REVISION {
            return;
        }
        let generation = if *kind == REVISION {
            &object["spec"]["generation"]
        } else {
            &object["metadata"]["generation"]
        };
        self.line(&format!(
            "{} {} {}/{} generation {generation} at {}",
            match entry.op {
                crate::etcd::Op::Created => "CREATED",
                crate::etcd::Op::Updated => "UPDATED",
                crate::etcd::Op::Deleted => "DELETED",
            },
            kind.kind,
            entry.key.namespace,
            entry.key.name,
            entry.at
        ));
    }
}
