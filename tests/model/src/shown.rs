//! A state of an object as it is shown to a replica.

use crate::server::{Object, Server, place, uid};
use revisor::revision::Observed;
use revisor::workload::{Change, Op, Resource, ResourceVersion};
use serde_json::value::RawValue;
use std::sync::{Arc, LazyLock};

/// Nothing of the content of an object is looked at: every generation is a change.
static CONTENT: LazyLock<Box<RawValue>> = LazyLock::new(|| RawValue::NULL.to_owned());

static RESOURCE: LazyLock<Arc<Resource>> = LazyLock::new(|| {
    Arc::new(Resource {
        group: String::new(),
        version: String::new(),
        kind: String::new(),
        plural: String::new(),
    })
});

/// The way in which a state is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// By a list.
    Listed,
    /// By a watch, as new.
    Added,
    /// By a watch, as written.
    Modified,
    /// By a watch, as the last state of an object that is gone.
    Deleted,
    /// By a read of the past.
    Read,
    /// By a read of the past, as the last state of an object that is gone.
    ReadLast,
}

/// A state of an object as it is shown to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The object.
    pub object: Object,
    /// Its generation.
    pub generation: i64,
    /// The place of the write.
    pub at: ResourceVersion,
    /// How it is shown.
    pub how: How,
}

impl Shown {
    /// The event of a watch that shows the first write after a place.
    pub fn event(server: &Server, after: ResourceVersion) -> Option<Self> {
        let write = server.after(crate::server::number(after))?;
        let before = server.there(write.object, write.at - 1);
        let (generation, how) = match before {
            None => (write.generation, How::Added),
            Some(last) if write.generation == 0 => (last.generation, How::Deleted),
            Some(_) => (write.generation, How::Modified),
        };
        Some(Self {
            object: write.object,
            generation,
            at: place(write.at),
            how,
        })
    }

    /// Whether a watch shows it.
    pub fn is_event(self) -> bool {
        matches!(self.how, How::Added | How::Modified | How::Deleted)
    }

    /// The change that the product takes it for.
    pub fn change(self, server: &Server) -> Change {
        let (seen, op) = match self.how {
            How::Listed => (Observed::List, Op::Added),
            How::Added => (Observed::Watch, Op::Added),
            How::Modified => (Observed::Watch, Op::Modified),
            How::Deleted => (Observed::Watch, Op::Deleted),
            How::Read => (Observed::Repair, Op::Modified),
            How::ReadLast => (Observed::Repair, Op::Deleted),
        };
        Change {
            resource: RESOURCE.clone(),
            uid: uid(self.object),
            name: String::new(),
            namespace: String::new(),
            generation: self.generation,
            resource_version: self.at,
            created: server.created(self.object).map(|at| server.time(at)),
            seen,
            op,
            raw: CONTENT.clone(),
            absent_at: None,
        }
    }
}
