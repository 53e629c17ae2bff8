//! The lives of namespaces: one that is deleted and made anew under its name is another one.
//!
//! In: the namespaces that there are, from the cache. Out: whether a Revision that waits is of a namespace that is gone.

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Times of creation have whole seconds, and may be of different clocks.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// One life of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// metadata.uid.
    pub uid: Uuid,
    /// metadata.creationTimestamp.
    pub created: DateTime<Utc>,
    /// Whether it is being deleted.
    pub is_going: bool,
}

/// The namespaces that there are, by name. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    present: Arc<RwLock<HashMap<String, Life>>>,
}

/// The namespace for which a Revision was made, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The life of the namespace when the Revision was handed in.
    pub namespace: Option<Uuid>,
    /// When the workload was created.
    pub workload: Option<DateTime<Utc>>,
}

impl Lives {
    /// A namespace is there in this life; none when it is gone.
    pub fn set(&self, namespace: &str, life: Option<Life>) {
        let mut present = self.present.write();
        match life {
            Some(life) => present.insert(namespace.to_owned(), life),
            None => present.remove(namespace),
        };
    }

    /// The life of a namespace, if it is known.
    pub fn of(&self, namespace: &str) -> Option<Life> {
        self.present.read().get(namespace).copied()
    }

    /// Whether a namespace is being deleted.
    pub fn is_going(&self, namespace: &str) -> bool {
        self.of(namespace).is_some_and(|life| life.is_going)
    }

    /// The origin of a Revision of a workload in a namespace.
    pub fn origin(&self, namespace: &str, workload: Option<DateTime<Utc>>) -> Origin {
        Origin {
            namespace: self.of(namespace).map(|life| life.uid),
            workload,
        }
    }

    /// Whether a Revision is of an earlier life of its namespace: its workload is older than the present one. Where another
    /// one was not there when the Revision was handed in, the clocks of several API servers may differ a little.
    pub fn is_of_another(&self, namespace: &str, origin: Origin) -> bool {
        let Some(life) = self.of(namespace) else {
            return false;
        };
        let is_other = origin.namespace.is_some_and(|uid| uid != life.uid);
        let skew = if is_other { TimeDelta::zero() } else { SKEW };
        let created = origin.workload.map(|created| created + skew);
        created.is_some_and(|created| created < life.created)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    fn life(uid: u128, created: i64) -> Life {
        Life {
            uid: Uuid::from_u128(uid),
            created: second(created),
            is_going: false,
        }
    }

    #[test]
    fn what_was_made_for_an_earlier_life_is_of_another_namespace() {
        let lives = Lives::default();
        lives.set("n", Some(life(1, 10)));
        let origin = lives.origin("n", Some(second(12)));
        let late = lives.origin("n", Some(second(30)));
        assert!(!lives.is_of_another("n", origin));
        lives.set("n", None);
        assert!(!lives.is_of_another("n", origin), "it may be on its way");
        lives.set("n", Some(life(2, 30)));
        assert!(lives.is_of_another("n", origin));
        assert!(!lives.is_of_another("n", late), "the watch was late");
        let after_a_restart = |created| lives.origin("n", Some(second(created)));
        assert!(lives.is_of_another("n", after_a_restart(24)));
        assert!(
            !lives.is_of_another("n", after_a_restart(25)),
            "clocks differ"
        );
        assert!(!lives.is_of_another("n", Origin::default()));
    }
}
