//! A writer beside the editor, who may create Revisions and write their status: what he stores never was.
//!
//! In: an injection. Out: forged objects in etcd, of which the judges know that nobody may believe them. Half of the time
//! a replica is away meanwhile, and finds them at its start.

use crate::editor::NAMESPACES;
use crate::etcd::{Entry, Key};
use crate::fault::{Fault, Injection};
use crate::kinds::REVISION;
use crate::truth::uid;
use crate::world::World;
use revisor::revision::identity;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

/// No workload of a history has so many generations.
const FAR: i64 = 1_000_000_000_000;

/// Carries out an injection.
pub fn strike(world: &Arc<World>, injection: &Injection) {
    if injection.size.is_multiple_of(2) {
        return forge(world, injection);
    }
    let away = injection.millis(20_000);
    world.kill(injection.replica, away);
    let world = world.clone();
    let injection = *injection;
    tokio::spawn(async move {
        sleep(Duration::from_millis(away / 2)).await;
        if !world.state.lock().is_calm {
            forge(&world, &injection);
        }
    });
}

fn forge(world: &World, injection: &Injection) {
    let models = models(world);
    let lots = &mut fastrand::Rng::with_seed(injection.size.into());
    for model in &models {
        // Of about half of the workloads that are recorded.
        if lots.bool() {
            continue;
        }
        if injection.fault == Fault::ForgedClaim {
            claim(world, model, lots);
        } else if let Some((namespace, object)) = forged(world, injection.fault, model, lots) {
            store(world, namespace, object);
        }
    }
}

/// The newest Revision of each workload that is there.
fn models(world: &World) -> Vec<Entry> {
    let state = world.state.lock();
    let now = state.servers.etcd.revision();
    let all = state.servers.etcd.range(&REVISION, None, now);
    let mut newest: std::collections::BTreeMap<Uuid, Entry> = std::collections::BTreeMap::new();
    for entry in all {
        let spec = &entry.object.value["spec"];
        let Some(of) = uid(&spec["workload"]["uid"]) else {
            continue;
        };
        let is_there = state.oracle.truth.next(&spec["workload"]["uid"]).is_some();
        let is_genuine = !state.oracle.hostile.is_forged(&entry.key);
        if !is_there || !is_genuine || spec["type"] == "Gap" {
            continue;
        }
        let generation = |entry: &Entry| entry.object.value["spec"]["generation"].as_i64();
        let known = newest.entry(of).or_insert_with(|| entry.clone());
        if generation(entry) > generation(known) {
            *known = entry.clone();
        }
    }
    newest.into_values().collect()
}

/// Claims that everything up to the present generation changed nothing, or up to one that never was.
fn claim(world: &World, model: &Entry, lots: &mut fastrand::Rng) {
    let mut state = world.state.lock();
    let spec = &model.object.value["spec"];
    let Some((workload, next)) = state.oracle.truth.next(&spec["workload"]["uid"]) else {
        return;
    };
    let now = state.servers.etcd.revision();
    let generation = if lots.u8(..4) == 0 { FAR } else { next - 1 };
    let at = if lots.bool() { now } else { 1 };
    state.oracle.hostile.claim(workload, generation);
    drop(state);
    let mut object = model.object.value.clone();
    object["status"]["observedThrough"] =
        json!({"generation": generation, "resourceVersion": at.to_string()});
    world.write(false, |servers| {
        if servers
            .etcd
            .get(&model.key)
            .is_some_and(|now| now.at == model.at)
        {
            servers.update(&model.key, model, object);
        }
    });
}

/// A forged Revision like the model, and where it is stored.
fn forged(
    world: &World,
    fault: Fault,
    model: &Entry,
    lots: &mut fastrand::Rng,
) -> Option<(&'static str, Value)> {
    let mut object = model.object.value.clone();
    let spec = &object["spec"];
    let workload = uid(&spec["workload"]["uid"])?;
    let name = spec["workload"]["name"].as_str()?.to_owned();
    let (_, next) = world
        .state
        .lock()
        .oracle
        .truth
        .next(&spec["workload"]["uid"])?;
    let own = NAMESPACES.iter().find(|own| **own == model.key.namespace)?;
    let elsewhere = NAMESPACES
        .iter()
        .find(|other| **other != model.key.namespace);
    let (generation, namespace) = match fault {
        Fault::ForgedElsewhere => (lots.i64(1..=next), *elsewhere?),
        Fault::ForgedName | Fault::ForgedDigest => (lots.i64(1..next), *own),
        _ => (FAR + lots.i64(..9), *own),
    };
    object["spec"]["generation"] = generation.into();
    object["spec"]["id"] = json!(identity::id(workload, generation));
    object["spec"]["type"] = "Change".into();
    object["metadata"] = json!({"name": identity::name(&name, workload, generation)});
    let fields = object.as_object_mut()?;
    fields.remove("status");
    match fault {
        Fault::ForgedGap => {
            let from = lots.i64(1..=next);
            object["metadata"]["name"] =
                identity::gap_name(&name, workload, from, generation).into();
            object["spec"]["id"] = json!(identity::gap_id(workload, from, generation));
            object["spec"]["type"] = "Gap".into();
            object["spec"]["gap"] = json!({"from": from, "to": generation, "reason": "Compacted"});
            for field in ["snapshot", "contentDigest", "previous"] {
                object["spec"].as_object_mut()?.remove(field);
            }
        }
        Fault::ForgedName => object["metadata"]["name"] = format!("a-{generation}").into(),
        // Under the long form of the name, because the short one is taken.
        Fault::ForgedDigest => {
            let long = identity::long_name(&name, workload, generation);
            object["metadata"]["name"] = long.into();
            object["spec"]["contentDigest"] = format!("sha256:{}", "0".repeat(64)).into();
        }
        _ => {}
    }
    Some((namespace, object))
}

fn store(world: &World, namespace: &str, object: Value) {
    let mut state = world.state.lock();
    let key = Key {
        kind: &REVISION,
        namespace: namespace.to_owned(),
        name: object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    if state.servers.etcd.get(&key).is_some() {
        return;
    }
    state.oracle.hostile.forge(&key);
    drop(state);
    world.write(false, |servers| servers.create(&key, object));
}
