//! How far a pod has come, as its status tells. In: any JSON. Out: a [`PodState`]. Pure.

use crate::redact::Names;
use crate::text::{cut, prefix, visible_line};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// Messages are cut to so many characters.
const MAX_MESSAGE: usize = 200;
/// So many characters of a message are read: a secret that is shown within the first ones is whole here.
const MAX_READ: usize = 16_384;

/// Containers wait for one of these reasons when something has to be done about it.
const FAILURES: &[&str] = &[
    "CrashLoopBackOff",
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "ImageInspectError",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
    "PreCreateHookError",
    "PostStartHookError",
];

/// How far a pod has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum PodState {
    /// No node yet, and why.
    Unscheduled(Option<Box<str>>),
    /// On a node, not ready.
    Starting { running: bool },
    /// Something has to be done, and what.
    Failing { running: bool, why: Box<str> },
    /// All containers are ready, since when.
    Ready(DateTime<Utc>),
    /// Ended without an error.
    Succeeded,
    /// Ended with an error, or was evicted.
    Ended(Box<str>),
}

impl PodState {
    /// The state that a pod's status tells; `scheduled` is whether the pod is bound to a node.
    pub(super) fn read(status: &Value, scheduled: bool, names: &Names) -> Self {
        let phase = status["phase"].as_str().unwrap_or_default();
        match phase {
            "Succeeded" => return Self::Succeeded,
            "Failed" => return Self::Ended(failure(status, names)),
            _ => {}
        }
        if !scheduled {
            let why = condition(status, "PodScheduled").and_then(|it| it["message"].as_str());
            return Self::Unscheduled(why.map(|why| one_line(why, names)));
        }
        if let Some(ready) = condition(status, "Ready").filter(|it| it["status"] == "True") {
            let since = ready["lastTransitionTime"]
                .as_str()
                .and_then(|time| time.parse().ok());
            return Self::Ready(since.unwrap_or_default());
        }
        let running = phase == "Running";
        match crash(status, names) {
            Some(why) => Self::Failing { running, why },
            None => Self::Starting { running },
        }
    }

    /// Whether its containers run.
    pub(in super::super) fn is_running(&self) -> bool {
        matches!(
            self,
            Self::Ready(_) | Self::Starting { running: true } | Self::Failing { running: true, .. }
        )
    }

    /// Whether it has ended.
    pub(in super::super) fn is_over(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Ended(_))
    }
}

fn condition<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == name)
}

/// The reason why a pod ended with an error.
fn failure(status: &Value, names: &Names) -> Box<str> {
    let told = ["message", "reason"]
        .iter()
        .find_map(|field| status[*field].as_str());
    told.map(|told| one_line(told, names))
        .or_else(|| crash(status, names))
        .unwrap_or_else(|| "it failed".into())
}

/// The message about the first container that cannot go on by itself.
fn crash(status: &Value, names: &Names) -> Option<Box<str>> {
    ["initContainerStatuses", "containerStatuses"]
        .iter()
        .filter_map(|list| status[*list].as_array())
        .flatten()
        .find_map(|container| container_crash(container, names))
}

fn container_crash(container: &Value, names: &Names) -> Option<Box<str>> {
    let name = container["name"].as_str().unwrap_or("?");
    let waiting = &container["state"]["waiting"];
    let reason = waiting["reason"].as_str().unwrap_or_default();
    let terminated = &container["state"]["terminated"];
    let code = [terminated, &container["lastState"]["terminated"]]
        .iter()
        .find_map(|ended| ended["exitCode"].as_i64())
        .filter(|code| *code != 0);
    let restarts = container["restartCount"].as_i64().unwrap_or_default();
    if FAILURES.contains(&reason) {
        let detail = match (code, waiting["message"].as_str()) {
            (Some(code), _) => format!("exit code {code}, {restarts} restarts"),
            (None, Some(message)) => message.to_owned(),
            (None, None) => return Some(format!("container {name}: {reason}").into()),
        };
        let why = format!("container {name}: {reason}: {detail}");
        return Some(one_line(&why, names));
    }
    // Between two crashes it runs; that is no recovery until it is ready.
    let crashed = container["ready"] != true && (restarts > 0 || terminated.is_object());
    let code = code.filter(|_| crashed)?;
    Some(format!("container {name}: exit code {code}, {restarts} restarts").into())
}

/// A message without secrets on one line, in at most [`MAX_MESSAGE`] characters. A secret that is cut off looks like none, so
/// the whole message is judged before it is cut.
pub(in super::super) fn one_line(text: &str, names: &Names) -> Box<str> {
    let shown = names.text(prefix(text, MAX_READ));
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&visible_line(&line), MAX_MESSAGE).into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::pruned;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn with(status: &Value) -> PodState {
        pruned(json!({"metadata": {"namespace": "n"}, "spec": {"nodeName": "a"}, "status": status}))
            .state
    }

    fn waiting(reason: &str, message: &Value) -> Value {
        let waiting = json!({"reason": reason, "message": message});
        json!({"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": waiting}}]})
    }

    fn failing(running: bool, why: &str) -> PodState {
        let why = why.into();
        PodState::Failing { running, why }
    }

    #[test]
    fn phases_of_pods_are_told_apart() {
        let starting = |running| PodState::Starting { running };
        for (status, expected) in [
            (json!({"phase": "Pending"}), starting(false)),
            (json!({"phase": "Running"}), starting(true)),
            (json!({"phase": "Succeeded"}), PodState::Succeeded),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "node was low on memory"}),
                PodState::Ended("node was low on memory".into()),
            ),
            (
                json!({"phase": "Failed"}),
                PodState::Ended("it failed".into()),
            ),
            (json!("text"), starting(false)),
            (
                json!({"conditions": {"type": "Ready"}, "containerStatuses": "x", "phase": 3}),
                starting(false),
            ),
        ] {
            assert_eq!(with(&status), expected, "{status}");
        }
        let why = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.";
        let pending = json!({"metadata": {"namespace": "n"}, "spec": {}, "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": why}]}});
        assert_eq!(
            pruned(pending).state,
            PodState::Unscheduled(Some(why.into()))
        );
    }

    #[test]
    fn containers_that_cannot_go_on_are_told_from_those_that_start() {
        for (status, expected) in [
            (
                waiting("ContainerCreating", &json!(null)),
                PodState::Starting { running: false },
            ),
            (
                waiting("ImagePullBackOff", &json!("Back-off\n pulling \"x\"")),
                failing(
                    false,
                    "container c: ImagePullBackOff: Back-off pulling \"x\"",
                ),
            ),
            (
                waiting("InvalidImageName", &json!(null)),
                failing(false, "container c: InvalidImageName"),
            ),
            (
                json!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}}]}),
                failing(
                    true,
                    "container c: CrashLoopBackOff: exit code 1, 3 restarts",
                ),
            ),
            (
                json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137}}}]}),
                failing(true, "container c: exit code 137, 1 restarts"),
            ),
        ] {
            assert_eq!(with(&status), expected, "{status}");
        }
    }

    #[test]
    fn messages_are_cut() {
        let PodState::Ended(why) =
            with(&json!({"phase": "Failed", "message": "é".repeat(100_000)}))
        else {
            panic!("failed")
        };
        assert_eq!(why.chars().count(), MAX_MESSAGE);
    }

    #[test]
    fn messages_hold_no_secrets() {
        let secret = "hunter2".repeat(40);
        for message in [
            format!("cannot connect to postgres://app:{secret}@db:5432/m"),
            format!("{} serve --api-key {secret}", "x".repeat(130)),
        ] {
            let state = with(&waiting("CreateContainerError", &json!(message)));
            let PodState::Failing { why, .. } = state else {
                panic!("failing")
            };
            assert!(why.contains("[redact") && !why.contains("hunter2"), "{why}");
        }
    }

    proptest! {
        #[test]
        fn any_status_is_a_state(text in "[\\[\\]{}\",:a-z0-9]{0,60}") {
            if let Ok(status) = serde_json::from_str(&text) {
                let _ = PodState::read(&status, true, &Names::default());
            }
        }
    }
}
