//! The API server: one history of writes of a few objects, how far back it can be read, and the clock.

use crate::bounds::Bounds;
use chrono::{DateTime, Utc};
use revisor::watch::walk::State;
use revisor::workload::{ResourceVersion, Version};
use uuid::Uuid;

/// The place of the checkpoint from which everything begins.
pub const BEGIN: u64 = 1;
/// The time of that place, in seconds.
const EPOCH: i64 = 1_000;

/// The number of an object; its uid.
pub type Object = u8;

/// One write: its place, the object, and its generation; 0 when it was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Its place.
    pub at: u64,
    /// Its object.
    pub object: Object,
    /// The generation that it made.
    pub generation: i64,
}

/// The API server and its etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Places from one write to the next.
    pub stride: u64,
    /// Every write, ascending.
    pub log: Vec<Write>,
    /// The oldest place that can be read.
    pub compacted: u64,
    /// The oldest place from which a watch can start.
    pub window: u64,
    /// Whether something can happen between a sample and the reads of what it has shown.
    pub samples_split: bool,
    /// Seconds from one write to the next.
    pub seconds: u64,
}

/// A number as a place.
pub fn place(number: u64) -> ResourceVersion {
    ResourceVersion::default().after(number.into())
}

/// A place as a number.
pub fn number(at: ResourceVersion) -> u64 {
    let distance = ResourceVersion::default().distance(at);
    u64::try_from(distance).unwrap_or(u64::MAX)
}

/// The uid of an object.
pub fn uid(object: Object) -> Uuid {
    Uuid::from_u128(object.into())
}

/// The object of a uid.
pub fn object(uid: Uuid) -> Object {
    u8::try_from(uid.as_u128()).unwrap_or(u8::MAX)
}

impl Server {
    /// A server whose history has come to [`BEGIN`], where object 0 is there in generation 1.
    pub fn new(bounds: Bounds) -> Self {
        let first = Write {
            at: BEGIN,
            object: 0,
            generation: 1,
        };
        Self {
            stride: bounds.stride.into(),
            log: vec![first],
            compacted: 0,
            window: 0,
            samples_split: bounds.samples_split,
            seconds: bounds.seconds.into(),
        }
    }

    /// The newest place.
    pub fn now(&self) -> u64 {
        self.log.last().map_or(BEGIN, |write| write.at)
    }

    /// The time of a write at that place.
    pub fn time(&self, at: u64) -> DateTime<Utc> {
        let seconds = self.seconds * (at - BEGIN) / self.stride;
        DateTime::from_timestamp(EPOCH + seconds.cast_signed(), 0).unwrap_or_default()
    }

    /// Adds a write of an object; generation 0 deletes it.
    pub fn write(&mut self, object: Object, generation: i64) {
        self.log.push(Write {
            at: self.now() + self.stride,
            object,
            generation,
        });
    }

    /// The newest write of an object up to a place.
    pub fn newest(&self, object: Object, at: u64) -> Option<Write> {
        let of = |write: &&Write| write.object == object && write.at <= at;
        self.log.iter().rev().find(of).copied()
    }

    /// The state of an object at a place; none when it is not there.
    pub fn there(&self, object: Object, at: u64) -> Option<Write> {
        self.newest(object, at).filter(|write| write.generation > 0)
    }

    /// The state of an object as a read at that very place shows it.
    pub fn read(&self, object: Object, at: ResourceVersion) -> State {
        if number(at) < self.compacted {
            return State::Compacted;
        }
        match self.there(object, number(at)) {
            Some(write) => State::Present(write.version()),
            None => State::Absent,
        }
    }

    /// Every object at a place.
    pub fn present(&self, at: u64) -> impl Iterator<Item = Write> {
        self.objects()
            .filter_map(move |object| self.there(object, at))
    }

    /// Every object that ever was.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        0..=self.log.iter().map(|write| write.object).max().unwrap_or(0)
    }

    /// The first write after a place.
    pub fn after(&self, at: u64) -> Option<Write> {
        self.log.iter().find(|write| write.at > at).copied()
    }

    /// The place at which an object was created.
    pub fn created(&self, object: Object) -> Option<u64> {
        let first = self.log.iter().find(|write| write.object == object);
        first.map(|write| write.at)
    }

    /// The place at which an object was deleted.
    pub fn deleted(&self, object: Object) -> Option<u64> {
        let last = self.newest(object, u64::MAX);
        last.filter(|write| write.generation == 0)
            .map(|write| write.at)
    }
}

impl Write {
    /// Its generation and place.
    pub fn version(self) -> Version {
        Version {
            generation: self.generation,
            at: place(self.at),
        }
    }
}
