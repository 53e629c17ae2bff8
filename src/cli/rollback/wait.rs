//! Waiting until a rollback runs, or has failed, by the status of its Revision.

use super::super::fetch::{self, Keep};
use super::super::live::send;
use super::super::print::printable;
use super::super::streams::Streams;
use super::Rollback;
use crate::revision::{Phase, Revision, RevisionType};
use anyhow::bail;
use http::Method;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks.
const STEP: Duration = Duration::from_secs(1);
/// A Revision is recorded within seconds where Revisor runs.
const RECORDED: Duration = Duration::from_secs(20);
/// After so long without an end, pods that hold the rollout up are looked for.
const STUCK: Duration = Duration::from_secs(15);

/// The end of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Runs,
    Failed(String),
}

/// Waits for the generation that the rollback made. The exit code: 0 when it runs, 1 when it failed.
pub(super) async fn wait(
    rollback: &Rollback<'_>,
    generation: i64,
    streams: &mut Streams,
) -> anyhow::Result<u8> {
    let started = Instant::now();
    let target = rollback.found.target();
    let mut last = None;
    let mut has_hinted = false;
    let mut is_missing_told = false;
    loop {
        let revision = recorded(rollback, generation).await?;
        let phase = revision.as_ref().and_then(|it| it.status.as_ref()?.phase);
        if phase != last {
            last = phase;
            streams.note(&format!(
                "{target}: {}",
                phase.map_or("recorded".to_owned(), |it| it.to_string())
            ))?;
        }
        match revision.as_ref().and_then(end) {
            Some(End::Runs) => {
                streams.print(&format!("{target} runs as revision {generation}\n"))?;
                return Ok(0);
            }
            Some(End::Failed(why)) => {
                streams.note(&format!(
                    "error: {target} failed as revision {generation}: {}",
                    printable(&why)
                ))?;
                hint(rollback, &mut has_hinted, streams).await?;
                return Ok(1);
            }
            None => {}
        }
        if revision.is_none() && started.elapsed() > RECORDED && !is_missing_told {
            is_missing_told = true;
            streams.warn(&format!("generation {generation} is not recorded so far: is Revisor running? (`revisor status`)"))?;
        }
        if started.elapsed() > STUCK {
            hint(rollback, &mut has_hinted, streams).await?;
        }
        if started.elapsed() > rollback.args.timeout {
            let phase = last.map_or("not recorded".to_owned(), |it| it.to_string());
            bail!(
                "{target} was rolled back, and does not run after {:?}: {phase}",
                rollback.args.timeout
            );
        }
        sleep(STEP).await;
    }
}

/// The Revision of a generation, or of a later one.
async fn recorded(rollback: &Rollback<'_>, generation: i64) -> anyhow::Result<Option<Revision>> {
    let name = rollback.found.life.name();
    let kind = rollback.found.life.group_kind();
    let selector = [
        ("spec.workload.name", name),
        ("spec.workload.kind", kind.kind.as_str()),
    ];
    let scene = rollback.scene;
    let namespace = Some(rollback.place.namespace.as_str());
    let all = fetch::revisions(
        &scene.session,
        namespace,
        &selector,
        Keep::Heads,
        &scene.settings.catalogue,
    );
    let is_restored = |it: &Revision| it.spec.workload.uid != rollback.found.life.uid;
    let all = all
        .await?
        .revisions
        .into_iter()
        .filter(|it| it.spec.r#type != RevisionType::Gap);
    let live = rollback.place.read(&scene.session).await?;
    let uid = live.and_then(|it| it["metadata"]["uid"].as_str().map(str::to_owned));
    let of_this = all.filter(|it| Some(it.spec.workload.uid.to_string()) == uid);
    Ok(of_this
        .filter(|it| it.spec.generation >= generation || is_restored(it))
        .max_by_key(|it| it.spec.generation))
}

fn end(revision: &Revision) -> Option<End> {
    let status = revision.status.as_ref()?;
    match status.phase? {
        Phase::Running | Phase::Completed => Some(End::Runs),
        Phase::Failed => {
            let words = [&status.reason, &status.message].into_iter().flatten();
            Some(End::Failed(words.cloned().collect::<Vec<_>>().join(": ")))
        }
        _ => None,
    }
}

/// Names the pods of the broken revision that keep a StatefulSet, or what is made of one, from being updated.
async fn hint(
    rollback: &Rollback<'_>,
    has_hinted: &mut bool,
    streams: &mut Streams,
) -> anyhow::Result<()> {
    let kind = rollback.found.life.group_kind().kind;
    if *has_hinted || !matches!(kind.as_str(), "StatefulSet" | "LeaderWorkerSet") {
        return Ok(());
    }
    let Some(file) = &rollback.kind else {
        return Ok(());
    };
    let name = rollback.found.life.name();
    let namespace = &rollback.place.namespace;
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods?labelSelector={}",
        form_urlencoded::byte_serialize(file.pods.selector().as_bytes()).collect::<String>()
    );
    let answer = send(
        &rollback.scene.session,
        Method::GET,
        &path,
        None,
        &Value::Null,
    )
    .await?;
    let pods = answer.body["items"].as_array().into_iter().flatten();
    let broken: Vec<_> = pods
        .filter(|pod| is_of(pod, name) && is_broken(pod))
        .filter_map(|pod| pod["metadata"]["name"].as_str())
        .collect();
    if !broken.is_empty() {
        *has_hinted = true;
        let flags = rollback.scene.session.flags(namespace);
        streams.warn(&format!(
            "{kind} waits for pods that are broken before it updates them; deleting them helps:\n  kubectl delete pod {}{flags}",
            broken.join(" ")
        ))?;
    }
    Ok(())
}

/// Pods of these kinds are called by their workload and a number.
fn is_of(pod: &Value, workload: &str) -> bool {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let number = name
        .strip_prefix(workload)
        .and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .split('-')
                .all(|it| it.chars().all(|c| c.is_ascii_digit()))
    })
}

/// Whether a container of a pod cannot start, or has ended and is started again and again.
fn is_broken(pod: &Value) -> bool {
    let all = ["containerStatuses", "initContainerStatuses"];
    let statuses = all
        .iter()
        .filter_map(|list| pod["status"][*list].as_array())
        .flatten();
    let reasons = statuses.filter_map(|it| it["state"]["waiting"]["reason"].as_str());
    let mut broken = reasons.filter(|it| !matches!(*it, "ContainerCreating" | "PodInitializing"));
    broken.next().is_some() || pod["status"]["phase"] == "Failed"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::sample::revision;
    use serde_json::json;

    #[test]
    fn only_running_and_failed_are_ends() {
        let of = |status: Value| {
            let mut revision = revision(1, "a");
            revision.status = Some(serde_json::from_value(status).expect("a status"));
            end(&revision)
        };
        assert_eq!(of(json!({"phase": "Running"})), Some(End::Runs));
        let failed = of(
            json!({"phase": "Failed", "reason": "ImagePullBackOff", "message": "no such image"}),
        );
        assert_eq!(
            failed,
            Some(End::Failed("ImagePullBackOff: no such image".to_owned()))
        );
        for open in ["Creating", "Initializing", "Updating", "Napping"] {
            assert_eq!(of(json!({"phase": open})), None, "{open}");
        }
        assert_eq!(end(&revision(1, "a")), None);
    }

    #[test]
    fn broken_pods_of_the_workload_are_told_from_others() {
        let waiting = |name: &str, reason: &str| json!({"metadata": {"name": name}, "status": {"containerStatuses": [{"state": {"waiting": {"reason": reason}}}]}});
        for (pod, broken) in [
            (waiting("x-0", "ImagePullBackOff"), true),
            (waiting("x-0-1", "CrashLoopBackOff"), true),
            (waiting("x-0", "ContainerCreating"), false),
            (waiting("x-y-0", "CrashLoopBackOff"), false),
            (
                json!({"metadata": {"name": "x-1"}, "status": {"phase": "Running"}}),
                false,
            ),
        ] {
            assert_eq!(is_of(&pod, "x") && is_broken(&pod), broken, "{pod}");
        }
    }
}
