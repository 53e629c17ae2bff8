//! Damage to stored objects: the checkpoint is deleted, cut or made that of another cluster, and
//! Revisions are deleted or forged.

use crate::etcd::{Entry, Key, Revision};
use crate::fault::{Fault, Injection};
use crate::kinds::REVISION;
use crate::server::Servers;
use crate::world::{World, checkpoint_key};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Another cluster has come so much further.
const FURTHER: Revision = 100_000;
/// The uid of the namespace kube-system of another cluster.
const FOREIGN: &str = "0f0e1a9c-0000-4000-8000-00000000beef";

/// The checkpoint is damaged: mostly while a replica is away, else while it runs.
pub fn checkpoint(world: &Arc<World>, injection: &Injection) {
    if injection.size.is_multiple_of(4) {
        damage(world, injection);
        return;
    }
    let away = injection.millis(20_000);
    world.kill(injection.replica, away);
    let world = world.clone();
    let injection = *injection;
    tokio::spawn(async move {
        // Requests that were under way are answered by then.
        sleep(Duration::from_millis(away / 2)).await;
        let is_over = world.state.lock().is_calm;
        if !is_over {
            damage(&world, &injection);
        }
    });
}

fn damage(world: &World, injection: &Injection) {
    let mut lots = fastrand::Rng::with_seed(injection.size.into());
    // Before the damage, because the judges note the exceptions that only the lost checkpoint names.
    let mut state = world.state.lock();
    let now = state.servers.etcd.revision();
    state.oracle.checkpoints.lose(now);
    drop(state);
    match injection.fault {
        Fault::CheckpointTruncated => rewrite(world, |data, _| truncate(data, &mut lots)),
        Fault::CheckpointForeign => rewrite(world, |data, now| move_away(data, now, &mut lots)),
        _ => delete_checkpoint(world),
    }
}

fn delete_checkpoint(world: &World) {
    let key = checkpoint_key();
    world.write(false, |servers| {
        if let Some(before) = servers.etcd.get(&key).cloned() {
            servers.remove(&key, &before);
        }
    });
}

/// Changes the checkpoint. The judges are told which texts are not those of a replica.
fn rewrite(world: &World, change: impl FnOnce(&mut Map<String, Value>, Revision)) {
    let key = checkpoint_key();
    let mut state = world.state.lock();
    let Some(before) = state.servers.etcd.get(&key).cloned() else {
        return;
    };
    let mut object = before.object.value.clone();
    let Some(data) = object["data"].as_object_mut() else {
        return;
    };
    change(data, state.servers.etcd.revision());
    let whole = &before.object.value["data"];
    for (name, text) in data.iter() {
        if whole.get(name) != Some(text) {
            state.oracle.checkpoints.damage(text);
        }
    }
    drop(state);
    world.write(false, |servers| servers.update(&key, &before, object));
}

/// Entries are cut in the middle: those of one form, those of one kind, or all.
fn truncate(data: &mut Map<String, Value>, lots: &mut fastrand::Rng) {
    let form = lots.u8(..4);
    let is_cut = |key: &str| match form {
        0 => key.starts_with("v2."),
        1 => !key.starts_with("v2."),
        2 => key.contains("Deployment"),
        _ => true,
    };
    for (key, text) in data {
        let whole = text.as_str().unwrap_or_default();
        if key != "cluster" && is_cut(key) {
            *text = whole[..whole.floor_char_boundary(whole.len() / 2)].into();
        }
    }
}

/// The checkpoint is that of another cluster, whose places are the same, the newest or far later.
fn move_away(data: &mut Map<String, Value>, now: Revision, lots: &mut fastrand::Rng) {
    let place = match lots.u8(..3) {
        0 => None,
        1 => Some(now),
        _ => Some(now + FURTHER),
    };
    for text in data.values_mut() {
        let entry = serde_json::from_str::<Map<String, Value>>(text.as_str().unwrap_or_default());
        if let Some((place, mut entry)) = place.zip(entry.ok()) {
            entry.insert("resourceVersion".to_owned(), place.to_string().into());
            entry.remove("exceptions");
            *text = Value::Object(entry).to_string().into();
        }
    }
    data.insert("cluster".to_owned(), FOREIGN.into());
}

/// A Revision is deleted.
pub fn delete_revision(world: &World, injection: &Injection) {
    world.write(false, |servers| {
        let all = revisions(servers);
        if let Some(chosen) = all.get(injection.size as usize * all.len() / 1000) {
            servers.remove(&chosen.key, chosen);
        }
    });
}

/// All Revisions of a workload are deleted, or all there are.
pub fn delete_revisions(world: &World, injection: &Injection) {
    if injection.size.is_multiple_of(3) {
        return delete_all(world);
    }
    let of = |revision: &Entry| revision.object.value["spec"]["workload"]["uid"].clone();
    world.write(false, |servers| {
        let all = revisions(servers);
        let chosen = all.get(injection.size as usize * all.len() / 1000).map(of);
        for revision in all.iter().filter(|one| Some(of(one)) == chosen) {
            servers.remove(&revision.key, revision);
        }
    });
}

/// All Revisions are deleted.
pub fn delete_all(world: &World) {
    world.write(false, |servers| {
        for revision in revisions(servers) {
            servers.remove(&revision.key, &revision);
        }
    });
}

fn revisions(servers: &Servers) -> Vec<Entry> {
    let now = servers.etcd.revision();
    servers.etcd.range(&REVISION, None, now).cloned().collect()
}

/// Another writer stores a Revision under the name of the next generation of a workload, with a
/// content of its own.
pub fn forge(world: &World, injection: &Injection) {
    let mut state = world.state.lock();
    let now = state.servers.etcd.revision();
    let all: Vec<_> = state
        .servers
        .etcd
        .range(&REVISION, None, now)
        .cloned()
        .collect();
    let Some(model) = all.get(injection.size as usize * all.len() / 1000) else {
        return;
    };
    let mut object = model.object.value.clone();
    let Some((workload, next)) = state.oracle.truth.next(&object["spec"]["workload"]["uid"]) else {
        return;
    };
    let base = model.key.name.rsplit_once('-').map_or("", |(base, _)| base);
    let name = format!("{base}-{next:05}");
    object["spec"]["generation"] = next.into();
    // The content of no generation.
    object["spec"]["contentDigest"] = format!("sha256:{}", "0".repeat(64)).into();
    let key = Key {
        name: name.clone(),
        ..(*model.key).clone()
    };
    if state.servers.etcd.get(&key).is_none() {
        state.oracle.forged.insert((workload, next), name);
        drop(state);
        world.write(false, |servers| servers.create(&key, object));
    }
}
