//! For every kind, by client-side and by server-side apply: three edits, a rollback to the first state, and then the next
//! apply of the newest file does what the file says, or conflicts.

use super::stage::{Ran, Stage, stage};
use crate::observe::{Script, scripts};
use crate::support::{DEPLOYMENT, Kind, STATEFUL_SET, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// A kind, and its manifest in one of four states.
struct Sample {
    kind: Kind,
    api_version: String,
    /// With PODS and IMAGE where these stand.
    spec: Value,
    /// Whether a field without a schema can be put beside the others.
    is_open: bool,
}

fn samples() -> Vec<Sample> {
    let of_script = |script: Script| Sample {
        kind: Kind {
            kind: Box::leak(script.kind.clone().into_boxed_str()),
            api: Box::leak(format!("apis/{}", script.api_version).into_boxed_str()),
            plural: Box::leak(script.plural.clone().into_boxed_str()),
            registry: "",
        },
        api_version: script.api_version,
        spec: script.spec,
        is_open: true,
    };
    let mut all: Vec<_> = scripts().into_iter().map(of_script).collect();
    for kind in [DEPLOYMENT, STATEFUL_SET] {
        all.push(Sample {
            kind,
            api_version: "apps/v1".to_owned(),
            spec: json!({"selector": {"matchLabels": {"app": "w"}},
                "template": {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": "PODS"}}}),
            is_open: false,
        });
    }
    all
}

/// In the first state there are a variable and a container that the later ones do not have, and the other way round.
fn containers(number: usize) -> Value {
    let (variable, side) = if number == 1 {
        ("A", "old")
    } else {
        ("B", "new")
    };
    let limits = json!({"limits": {"nvidia.com/gpu": "1"}});
    json!([
        {"name": "main", "image": format!("m:{number}"), "env": [{"name": variable, "value": "1"}], "resources": limits},
        {"name": side, "image": "s:1"},
    ])
}

impl Sample {
    /// The manifest of a state, as a file of its user. It says nothing of replicas.
    fn file(&self, number: usize, namespace: &str) -> Value {
        let text = self.spec.to_string();
        let text = text.replace("\"PODS\"", &containers(number).to_string());
        let mut spec: Value =
            serde_json::from_str(&text.replace("IMAGE", &format!("m:{number}"))).expect("JSON");
        if self.is_open {
            let name = if number == 1 { "old" } else { "new" };
            spec["settings"] = json!({name: number, "both": number});
        }
        json!({"apiVersion": self.api_version, "kind": self.kind.kind, "spec": spec,
            "metadata": {"name": "w", "namespace": namespace, "labels": {"revisor.dev/record": "true"}}})
    }

    fn path(&self, namespace: &str) -> String {
        format!("{}/w", self.kind.path(namespace))
    }

    fn target(&self) -> String {
        format!("{}/w", self.kind.kind.to_lowercase())
    }

    fn apply(&self, stage: &Stage, namespace: &str, number: usize, flags: &[&str]) -> Ran {
        let arguments = [&["apply", "-f", "-"], flags].concat();
        stage.kubectl(namespace, &arguments, &self.file(number, namespace))
    }

    /// Four states, and their specs as the API server has them; then back to the first.
    async fn go_back(&self, stage: &Stage, namespace: &str, flags: &[&str]) -> Vec<Value> {
        let mut specs = Vec::new();
        for number in 1..=4 {
            self.apply(stage, namespace, number, flags).ok();
            specs.push(stage.spec(&self.path(namespace)).await);
        }
        stage.recorded(self.kind, &self.path(namespace)).await;
        let ran = stage.plugin(namespace, &["rollback", &self.target(), "1", "--yes"]);
        assert_eq!(ran.code, 0, "{}: {ran:?}", self.kind.kind);
        assert_eq!(
            stage.spec(&self.path(namespace)).await,
            specs[0],
            "{}: {ran:?}",
            self.kind.kind
        );
        specs
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rollback_client_side_apply_does_exactly_what_its_file_says() {
    let stage = stage();
    for sample in samples() {
        let namespace = stage.world.namespace("client-side").await;
        let specs = sample.go_back(stage, &namespace, &[]).await;
        sample.apply(stage, &namespace, 4, &[]).ok();
        let now = stage.spec(&sample.path(&namespace)).await;
        assert_eq!(now, specs[3], "{}", sample.kind.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rollback_server_side_apply_conflicts_and_when_forced_does_exactly_what_its_file_says()
 {
    let stage = stage();
    for sample in samples() {
        let kind = sample.kind.kind;
        let namespace = stage.world.namespace("server-side").await;
        let specs = sample.go_back(stage, &namespace, &["--server-side"]).await;
        let refused = sample.apply(stage, &namespace, 4, &["--server-side"]);
        assert!(
            refused.code != 0 && refused.err.contains("with \"kubectl-revisor\""),
            "{kind}: {refused:?}"
        );
        assert_eq!(
            stage.spec(&sample.path(&namespace)).await,
            specs[0],
            "{kind}"
        );
        sample
            .apply(
                stage,
                &namespace,
                4,
                &["--server-side", "--force-conflicts"],
            )
            .ok();
        let now = stage.spec(&sample.path(&namespace)).await;
        assert_eq!(now, specs[3], "{kind}");
    }
}

fn deployment(namespace: &str, image: &str) -> Value {
    let container =
        json!({"name": "main", "image": image, "resources": {"limits": {"nvidia.com/gpu": "1"}}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "w"}},
            "template": {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [container]}}}})
}

/// A Deployment in two states.
fn create_and_replace(stage: &Stage, namespace: &str) {
    let create = ["create", "-f", "-"];
    stage
        .kubectl(namespace, &create, &deployment(namespace, "m:1"))
        .ok();
    let file = deployment(namespace, "m:2");
    // Its controller may write it between the two requests of a replacement.
    let replaced = || {
        stage
            .kubectl(namespace, &["replace", "-f", "-"], &file)
            .code
            == 0
    };
    assert!(eventually(Duration::from_secs(30), replaced), "{file}");
}

/// The owner of the replicas, by managedFields.
fn owner_of_replicas(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .expect("entries")
        .iter();
    let owns = entries.filter(|it| it["fieldsV1"]["f:spec"].get("f:replicas").is_some());
    owns.map(|it| it["manager"].as_str().expect("a manager").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_an_autoscaler_stay_with_their_owner_and_zero_stays_zero() {
    let stage = stage();
    let namespace = stage.world.namespace("replicas").await;
    let path = format!("{}/w", DEPLOYMENT.path(&namespace));
    create_and_replace(stage, &namespace);
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"});
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "w"},
        "spec": {"minReplicas": 7, "maxReplicas": 9, "scaleTargetRef": target}});
    stage
        .kubectl(&namespace, &["create", "-f", "-"], &scaler)
        .ok();
    let scaled = stage.until(&path, |it| it["spec"]["replicas"] == 7).await;
    assert_eq!(owner_of_replicas(&scaled), ["kube-controller-manager"]);
    stage.recorded(DEPLOYMENT, &path).await;

    let ran = stage.plugin(&namespace, &["rollback", "deploy/w", "1", "--yes"]);
    assert!(
        ran.err.contains(
            "spec.replicas stays 7 (the revision has 2, owned by kube-controller-manager (/scale))"
        ),
        "{ran:?}"
    );
    ran.ok();
    let after = stage.until(&path, |_| true).await;
    assert_eq!(after["spec"]["replicas"], 7);
    assert_eq!(
        after["spec"]["template"]["spec"]["containers"][0]["image"],
        "m:1"
    );
    assert_eq!(owner_of_replicas(&after), ["kube-controller-manager"]);

    assert_zero_stays_zero(stage, &namespace, &path).await;
}

async fn assert_zero_stays_zero(stage: &Stage, namespace: &str, path: &str) {
    stage
        .kubectl(
            namespace,
            &["scale", "deployment/w", "--replicas=0"],
            &Value::Null,
        )
        .ok();
    stage.recorded(DEPLOYMENT, path).await;
    // Notes of the controller move the generation, too.
    let history = stage.plugin(namespace, &["history", "deploy/w"]).ok();
    let second = history
        .lines()
        .nth(2)
        .and_then(|line| line.split([' ', '*']).next());
    let second = second.expect("a number");
    stage
        .plugin(namespace, &["rollback", "deploy/w", second, "--yes"])
        .ok();
    assert_eq!(stage.spec(path).await["replicas"], 0);
    let own = stage.plugin(
        namespace,
        &[
            "rollback",
            "deploy/w",
            "1",
            "--yes",
            "--restore-replicas",
            "--dry-run",
        ],
    );
    assert!(
        own.out.contains("-  replicas: 0\n+  replicas: 2\n"),
        "{own:?}"
    );
    assert_eq!(
        stage.spec(path).await["replicas"],
        0,
        "a dry run changes nothing"
    );
}

/// A paused ScaledObject has no HorizontalPodAutoscaler, and leaves no owner of the replicas.
#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_is_parked_at_zero_stays_there_and_its_scaler_is_named() {
    let stage = stage();
    let namespace = stage.world.namespace("parked").await;
    let path = format!("{}/w", DEPLOYMENT.path(&namespace));
    stage.world.define(&scaled_objects());
    create_and_replace(stage, &namespace);
    let scaler = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "of-w", "annotations": {"autoscaling.keda.sh/paused-replicas": "0"}},
        "spec": {"scaleTargetRef": {"name": "w"}}});
    // A definition is established before discovery lists its kind.
    let created = || {
        stage
            .kubectl(&namespace, &["apply", "-f", "-"], &scaler)
            .code
            == 0
    };
    assert!(eventually(Duration::from_secs(30), created), "{scaler}");
    let park = ["scale", "deployment/w", "--replicas=0"];
    stage.kubectl(&namespace, &park, &Value::Null).ok();
    stage.recorded(DEPLOYMENT, &path).await;

    let ran = stage.plugin(&namespace, &["rollback", "deploy/w", "1", "--yes"]);
    for words in [
        "spec.replicas stays 0 (the revision has 2)",
        "ScaledObject of-w scales this workload, and is paused at 0 replicas",
    ] {
        assert!(ran.err.contains(words), "{words}: {ran:?}");
    }
    ran.ok();
    let after = stage.spec(&path).await;
    assert_eq!(after["replicas"], 0);
    assert_eq!(after["template"]["spec"]["containers"][0]["image"], "m:1");
}

fn scaled_objects() -> String {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "scaledobjects.keda.sh"},
        "spec": {"group": "keda.sh", "scope": "Namespaced", "names": {"kind": "ScaledObject", "plural": "scaledobjects"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
    .to_string()
}
