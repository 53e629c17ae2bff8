//! Admission: policies, webhooks and quotas that refuse Revisions for a while; and the right to
//! read the checkpoint, which can be taken away.
//!
//! In: an injection, which stands until its time is up, and the creates that meet it. Out: the
//! answer to a create that is refused, and a record of it for the judges.

use super::Servers;
use super::answer::{Answer, status};
use super::refusal::Refusal;
use crate::call::{Call, Class, Target};
use crate::editor::NAMESPACES;
use crate::etcd::Key;
use crate::fault::{Fault, Injection};
use crate::truth::uid;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;
use uuid::Uuid;

const TOO_MANY: &str =
    "the server has received too many requests and has asked us to try again later";

/// The creates in a namespace that one injection refuses.
#[derive(Clone, Copy, Debug)]
enum Refused {
    None,
    All,
    /// One name of so many.
    Name {
        of: u64,
        chosen: u64,
    },
    /// The even generations, or the odd ones.
    Parity(i64),
}

/// An injection that stands in the way.
#[derive(Clone, Copy, Debug)]
struct Standing {
    fault: Fault,
    namespace: &'static str,
    until: DateTime<Utc>,
    refused: Refused,
    refusal: Refusal,
    /// A create is not answered for so long.
    hangs: Duration,
}

/// Everything that stands in the way.
#[derive(Debug, Default)]
pub struct Admission {
    standing: Vec<Standing>,
    denied: Option<Denied>,
}

/// A Revision that was refused: one generation, or those of a Gap.
#[derive(Clone, Debug)]
pub struct Denied {
    pub workload: Uuid,
    pub generations: RangeInclusive<i64>,
}

impl Denied {
    fn of(revision: &Value) -> Option<Self> {
        let spec = &revision["spec"];
        let to = spec["generation"].as_i64()?;
        let from = spec["gap"]["from"].as_i64().unwrap_or(to);
        Some(Self {
            workload: uid(&spec["workload"]["uid"])?,
            generations: from..=to,
        })
    }
}

impl Refused {
    /// One Revision of a few, by its name or its generation.
    fn draw(lots: &mut fastrand::Rng) -> Self {
        if lots.bool() {
            return Self::Parity(lots.i64(..2));
        }
        let of = lots.u64(2..6);
        let chosen = lots.u64(..of);
        Self::Name { of, chosen }
    }

    fn is(self, name: &str, generation: i64) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Parity(parity) => generation % 2 == parity,
            Self::Name { of, chosen } => hash(name) % of == chosen,
        }
    }
}

impl Standing {
    /// The form of an injection, which its size decides.
    fn new(injection: &Injection, now: DateTime<Utc>) -> Self {
        let mut lots = fastrand::Rng::with_seed(injection.size.into());
        let longest = match injection.fault {
            Fault::CheckpointUnreadable => 60_000,
            _ => 120_000,
        };
        let lasts = TimeDelta::milliseconds(injection.millis(longest).cast_signed());
        let namespace = NAMESPACES[lots.usize(..NAMESPACES.len())];
        let mut standing = Self {
            fault: injection.fault,
            namespace,
            until: now + lasts,
            refused: Refused::All,
            refusal: Refusal::draw(&mut lots),
            hangs: Duration::ZERO,
        };
        match injection.fault {
            Fault::DeniedObject => standing.refused = Refused::draw(&mut lots),
            Fault::QuotaExceeded => {
                standing.refusal = Refusal::quota();
            }
            Fault::CreateHangs => {
                standing.refused = [Refused::All, Refused::None][lots.usize(..2)];
                standing.refusal = Refusal::late(&mut lots);
                standing.hangs = Duration::from_millis(lots.u64(1_000..30_000));
            }
            Fault::CheckpointUnreadable => standing.refused = Refused::None,
            _ => {}
        }
        standing
    }
}

impl Servers {
    /// An injection stands in the way until its time is up. Returns the namespace that it concerns,
    /// and that time.
    pub fn stand(&mut self, injection: &Injection) -> (&'static str, DateTime<Utc>) {
        let standing = Standing::new(injection, self.now());
        self.admission.standing.push(standing);
        (standing.namespace, standing.until)
    }

    /// Nothing stands in the way any more.
    pub fn admit_all(&mut self) {
        self.admission.standing.clear();
        self.undefined = None;
    }

    /// The Revision that the last request would have created, where it was refused.
    pub fn take_denied(&mut self) -> Option<Denied> {
        self.admission.denied.take()
    }

    /// How long a create is not answered.
    pub fn hangs(&self, call: &Call) -> Option<Duration> {
        let Target::Collection { namespace, .. } = &call.target else {
            return None;
        };
        if call.class() != Class::Create {
            return None;
        }
        let is_hanging = |standing: &&Standing| {
            standing.fault == Fault::CreateHangs && namespace.as_deref() == Some(standing.namespace)
        };
        self.standing()
            .find(is_hanging)
            .map(|standing| standing.hangs)
    }

    fn standing(&self) -> impl Iterator<Item = &Standing> {
        let now = self.now();
        self.admission
            .standing
            .iter()
            .filter(move |standing| standing.until > now)
    }

    /// The answer to a create of a Revision that is refused.
    pub(super) fn review(&mut self, key: &Key, revision: &Value) -> Option<Answer> {
        let generation = revision["spec"]["generation"].as_i64().unwrap_or_default();
        let refuses = |standing: &&Standing| {
            standing.namespace == key.namespace && standing.refused.is(&key.name, generation)
        };
        let refusal = self.standing().find(refuses)?.refusal;
        self.admission.denied = Denied::of(revision);
        Some(refusal.answer(key))
    }

    /// The answer to a read of the checkpoint that is refused.
    pub(super) fn hide(&self, key: &Key) -> Option<Answer> {
        let is_hiding = |standing: &&Standing| standing.fault == Fault::CheckpointUnreadable;
        let until = self.standing().find(is_hiding)?.until;
        if until.timestamp_millis() % 2 == 0 {
            return Some(status(429, "TooManyRequests", TOO_MANY));
        }
        let message = format!(
            "configmaps \"{}\" is forbidden: User \"system:serviceaccount:revisor:revisor\" cannot \
             get resource \"configmaps\" in API group \"\" in the namespace \"{}\"",
            key.name, key.namespace
        );
        Some(status(403, "Forbidden", &message))
    }
}

/// A hash that is the same in every process.
fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
