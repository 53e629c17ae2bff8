//! The rules that always hold.

use crate::replica::{Phase, Replica};
use crate::server::{Write, number, place};
use crate::world::World;
use revisor::watch::Position;
use revisor::workload::ResourceVersion;

/// A rule, and its name.
pub struct Rule {
    /// One sentence.
    pub name: &'static str,
    /// Whether a state keeps it.
    pub holds: fn(&World) -> bool,
}

/// All of them.
pub const RULES: [Rule; 6] = [
    Rule {
        name: "what a replica acknowledges is stored or named",
        holds: acknowledged_is_stored,
    },
    Rule {
        name: "everything up to the checkpoint is stored or named",
        holds: checkpoint_is_durable,
    },
    Rule {
        name: "the checkpoint is dated before the first write behind it",
        holds: checkpoint_is_old_enough,
    },
    Rule {
        name: "at rest every generation is a Revision, or named by a Gap, a blind interval or an unknown end",
        holds: rest_is_complete,
    },
    Rule {
        name: "at rest the end of every recorded workload is stored",
        holds: rest_knows_ends,
    },
    Rule {
        name: "etcd is never said to be restored",
        holds: |world| !world.store.restored,
    },
];

fn accounts_for(world: &World, write: Write) -> bool {
    world.store.accounts_for(&world.server, write)
}

/// Whether everything up to a place is stored or named, except for what a watch has passed over.
fn is_durable(world: &World, through: u64) -> bool {
    let beginning = world.store.beginning.as_ref();
    let shown = |write: &&Write| {
        let has_begun = beginning.is_none_or(|beginning| beginning.precedes(**write));
        has_begun && write.at <= through && !world.passed_over.contains(&write.at)
    };
    let mut writes = world.server.log.iter().filter(shown);
    writes.all(|write| accounts_for(world, *write))
}

fn acknowledged_is_stored(world: &World) -> bool {
    let running = |replica: &&Replica| replica.phase != Phase::Down;
    let mut acks = world
        .replicas
        .iter()
        .filter(running)
        .map(|replica| replica.book.ack());
    acks.all(|ack| is_durable(world, number(ack.through)))
}

fn checkpoint_is_durable(world: &World) -> bool {
    let position = world.store.position();
    position.map_or(world.store.is_lost, |position| {
        is_durable(world, number(position.at))
    })
}

fn checkpoint_is_old_enough(world: &World) -> bool {
    let is_old_enough = |position: Position| {
        let first = world.server.after(number(position.at));
        first.is_none_or(|write| position.time <= world.server.time(write.at))
    };
    let position = world.store.position();
    position.map_or(world.store.is_lost, is_old_enough)
}

/// Whether a replica has come to the end of the history, and has nothing to do.
fn is_at_rest(world: &World) -> bool {
    let is_audited = world.passed_over.is_empty();
    rests(world, |_, _| is_audited) || is_at_rest_and_audited(world)
}

/// Whether a replica is at rest, and has compared everything with a list since the last event was lost.
fn is_at_rest_and_audited(world: &World) -> bool {
    rests(world, |replica, now| replica.audited >= now)
}

fn rests(world: &World, and: impl Fn(&Replica, ResourceVersion) -> bool) -> bool {
    let now = place(world.server.now());
    world.replicas.iter().any(|replica| {
        replica.is_live() && replica.at >= now && replica.queue.is_empty() && and(replica, now)
    })
}

fn rest_is_complete(world: &World) -> bool {
    let mut writes = world.server.log.iter();
    !is_at_rest(world) || writes.all(|write| accounts_for(world, *write))
}

fn rest_knows_ends(world: &World) -> bool {
    let is_stored = |object| {
        let workload = world.store.workload(object);
        world.server.deleted(object).is_none() || workload.is_none_or(|stored| stored.deleted)
    };
    let is_due = if world.bounds.ends_at_once {
        is_at_rest(world)
    } else {
        is_at_rest_and_audited(world)
    };
    !is_due || world.server.objects().all(is_stored)
}
