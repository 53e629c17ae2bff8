//! Rollbacks by the plugin, run as people run it, against an API server that says what real ones say only at certain
//! moments.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, Response};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What the API server does with requests for the workload.
type Script = Box<dyn Fn(&Asked) -> (u16, Value) + Send>;

/// A request for the workload.
struct Asked {
    method: Method,
    is_dry: bool,
    body: Value,
    /// Requests of this method and kind before.
    before: usize,
}

#[derive(Clone)]
struct Server {
    /// The version in which the Revisions were recorded.
    recorded: &'static str,
    script: Arc<Mutex<Script>>,
    log: Arc<Mutex<Vec<(Method, bool, Value)>>>,
}

fn spec(image: &str) -> Value {
    json!({"replicas": 2, "template": {"spec": {"containers": [{"name": "m", "image": image}]}}})
}

/// The workload as it is now.
fn live(generation: i64, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec(image),
        "metadata": {"name": "llama", "namespace": "ml", "uid": "00000000-0000-0000-0000-000000000007", "generation": generation,
            "managedFields": [{"manager": "ann", "operation": "Update", "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z", "fieldsV1": {}}]}})
}

fn revision(recorded: &str, generation: i64, image: &str) -> Value {
    let data = json!({"apiVersion": recorded, "kind": "Deployment", "metadata": {"name": "llama", "namespace": "ml"}, "spec": spec(image)}).to_string();
    json!({"apiVersion": "revisor.dev/v1alpha1", "kind": "Revision", "metadata": {"name": format!("llama-0-0000{generation}"), "namespace": "ml"},
        "spec": {"id": uuid::Uuid::from_u128(generation.unsigned_abs().into()), "type": "Change", "generation": generation, "resourceVersion": "1", "observedVia": "Watch",
            "workload": {"apiVersion": recorded, "kind": "Deployment", "name": "llama", "uid": "00000000-0000-0000-0000-000000000007"},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
            "snapshot": {"encoding": "json", "size": data.len(), "data": data}}})
}

fn failure(code: u16, message: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}),
    )
}

/// The words with which the API server refuses a patch whose tests fail.
fn moved() -> (u16, Value) {
    failure(
        422,
        "the server rejected our request due to an error in our request",
    )
}

async fn answer(State(server): State<Server>, request: Request<Body>) -> Response<Body> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let is_dry = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("dryRun=All"));
    let bytes = axum::body::to_bytes(request.into_body(), usize::MAX)
        .await
        .expect("a body");
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let (code, body) = match path.as_str() {
        "/api" => (200, json!({"items": []})),
        "/apis" => (
            200,
            json!({"items": [{"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
            {"resource": "deployments", "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "singularResource": "deployment", "shortNames": ["deploy"], "verbs": ["get"]}]}]}]}),
        ),
        "/apis/revisor.dev/v1alpha1/namespaces/ml/revisions" => (
            200,
            json!({"metadata": {"resourceVersion": "9"}, "items": [revision(server.recorded, 1, "m:1"), revision(server.recorded, 2, "m:2")]}),
        ),
        "/apis/apps/v1/namespaces/ml/deployments/llama" => {
            let mut log = server.log.lock().expect("no panic");
            let before = log
                .iter()
                .filter(|(of, dry, _)| *of == method && *dry == is_dry)
                .count();
            log.push((method.clone(), is_dry, body.clone()));
            let script = server.script.lock().expect("no panic");
            script(&Asked {
                method,
                is_dry,
                body,
                before,
            })
        }
        other => failure(404, &format!("{other} is not there")),
    };
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .expect("an answer")
}

/// Runs a rollback to revision 1 to its end; and the requests for the workload.
async fn rollback(flags: &[&str], script: Script) -> (Output, Vec<(Method, bool, Value)>) {
    rollback_of("apps/v1", flags, script).await
}

/// The same of Revisions that were recorded in some version.
async fn rollback_of(
    recorded: &'static str,
    flags: &[&str],
    script: Script,
) -> (Output, Vec<(Method, bool, Value)>) {
    let server = Server {
        recorded,
        script: Arc::new(Mutex::new(script)),
        log: Arc::default(),
    };
    let router = Router::new().fallback(answer).with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = TempDir::new().expect("a folder");
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}]});
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, config.to_string()).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"));
    command
        .args(["rollback", "deploy/llama", "1", "--yes", "--kubeconfig"])
        .arg(file)
        .args(flags)
        .env_remove("REVISOR_CONFIG");
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("no panic")
        .expect("the plugin");
    let log = server.log.lock().expect("no panic").clone();
    (output, log)
}

fn written(body: &Value, mut object: Value) -> Value {
    let patch: json_patch::Patch = serde_json::from_value(body.clone()).expect("a patch");
    json_patch::patch(&mut object, &patch).expect("its tests pass");
    object
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn writes(log: &[(Method, bool, Value)]) -> Vec<&Value> {
    let writes = log
        .iter()
        .filter(|(method, is_dry, _)| *method == Method::PATCH && !is_dry);
    writes.map(|(_, _, body)| body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_came_in_between_is_named_and_not_overwritten() {
    let script = |asked: &Asked| match (&asked.method, asked.is_dry, asked.before) {
        (&Method::GET, _, 0) => (200, live(2, "m:2")),
        (&Method::GET, ..) => (200, live(3, "m:3")),
        (_, true, _) => (200, written(&asked.body, live(2, "m:2"))),
        _ => moved(),
    };
    let (output, log) = rollback(&[], Box::new(script)).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output)
            .contains("deployment/llama was edited meanwhile by ann; nothing was changed"),
        "{output:?}"
    );
    assert_eq!(writes(&log).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_moved_without_an_edit_is_tried_again_with_the_new_one() {
    let script = |asked: &Asked| match (&asked.method, asked.is_dry, asked.before) {
        (&Method::GET, _, before) => (200, live(2 + i64::try_from(before).expect("few"), "m:2")),
        (_, true, _) => (200, written(&asked.body, live(2, "m:2"))),
        (_, false, 0) => moved(),
        (_, false, 1) => failure(409, "the object has been modified"),
        _ => (200, written(&asked.body, live(4, "m:2"))),
    };
    let (output, log) = rollback(&[], Box::new(script)).await;
    assert!(output.status.success(), "{output:?}");
    let generations: Vec<_> = writes(&log)
        .iter()
        .map(|body| body[1]["value"].clone())
        .collect();
    assert_eq!(generations, [json!(2), json!(3), json!(4)]);
    assert_eq!(
        writes(&log)[2][2],
        json!({"op": "replace", "path": "/spec", "value": spec("m:1")})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_object_of_the_name_is_not_written() {
    let other = || {
        let mut other = live(2, "m:2");
        other["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000008");
        other
    };
    let script = move |asked: &Asked| match (&asked.method, asked.is_dry, asked.before) {
        (&Method::GET, _, 0) => (200, live(2, "m:2")),
        (&Method::GET, ..) => (200, other()),
        (_, true, _) => (200, written(&asked.body, live(2, "m:2"))),
        _ => moved(),
    };
    let (output, log) = rollback(&[], Box::new(script)).await;
    assert!(
        errors(&output).contains("was deleted and made anew meanwhile; nothing was changed"),
        "{output:?}"
    );
    assert_eq!(writes(&log).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_takes_no_dry_runs_is_told_and_passed_only_when_that_is_wanted() {
    let script = || {
        |asked: &Asked| match (&asked.method, asked.is_dry) {
            (&Method::GET, _) => (200, live(2, "m:2")),
            (_, true) => failure(
                400,
                "admission webhook \"w.example.com\" does not support dry run",
            ),
            _ => (200, written(&asked.body, live(2, "m:2"))),
        }
    };
    let (output, log) = rollback(&[], Box::new(script())).await;
    let text = errors(&output);
    assert!(
        text.contains("a webhook takes no dry runs")
            && text.contains("w.example.com")
            && text.contains("--skip-dry-run"),
        "{text}"
    );
    assert!(writes(&log).is_empty());
    let (output, log) = rollback(&["--skip-dry-run"], Box::new(script())).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(writes(&log).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_being_deleted_is_refused_and_the_words_of_a_webhook_are_told() {
    let script = |asked: &Asked| {
        let mut object = live(2, "m:2");
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        if asked.method == Method::GET {
            (200, object)
        } else {
            failure(500, "not reached")
        }
    };
    let (output, log) = rollback(&["--force"], Box::new(script)).await;
    assert!(
        errors(&output).contains("is being deleted since 2026-01-01T00:00:00Z"),
        "{output:?}"
    );
    assert_eq!(log.len(), 1);
    let script = |asked: &Asked| match asked.method {
        Method::GET => (200, live(2, "m:2")),
        _ => failure(
            403,
            "admission webhook \"up.example.com\" denied the request: no downgrade from 2 to 1",
        ),
    };
    let (output, _) = rollback(&[], Box::new(script)).await;
    assert!(
        errors(&output).contains("no downgrade from 2 to 1"),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_served_any_more_is_told_and_the_served_one_is_written() {
    let script = |asked: &Asked| match asked.method {
        Method::GET => (200, live(2, "m:2")),
        _ => (200, written(&asked.body, live(2, "m:2"))),
    };
    let (output, log) = rollback_of("apps/v1beta2", &[], Box::new(script)).await;
    assert!(output.status.success(), "{output:?}");
    assert!(
        errors(&output).contains(
            "the revision was recorded in apps/v1beta2, which is not served any more: it is written in apps/v1"
        ),
        "{output:?}"
    );
    assert_eq!(writes(&log).len(), 1);
}

/// The workload after a rollback that brought a field back, with the managers that apply it.
fn brought_back(appliers: &[&str]) -> Value {
    let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": fields});
    let mut after = live(3, "m:1");
    let back = json!({"f:spec": {"f:paused": {}}});
    let appliers = appliers.iter().map(|it| entry(it, "Apply", json!({})));
    let own = entry("kubectl-revisor", "Update", back);
    after["metadata"]["managedFields"] = appliers.chain([own]).collect();
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_stands_when_its_fields_cannot_be_handed_back_and_that_is_said() {
    let told = [
        (
            &["kubectl"][..],
            "could not be handed to kubectl: its next apply does not remove them",
        ),
        (
            &["argo", "platform"][..],
            "several managers apply this workload (argo, platform): their next apply does not remove them",
        ),
    ];
    for (appliers, words) in told {
        let script = move |asked: &Asked| match (&asked.method, asked.is_dry, asked.before) {
            (&Method::GET, ..) => (200, live(2, "m:2")),
            (_, true, _) => (200, written(&asked.body, live(2, "m:2"))),
            (_, false, 0) => (200, brought_back(appliers)),
            _ => failure(403, "metadata.managedFields may not be written"),
        };
        let (output, log) = rollback(&[], Box::new(script)).await;
        assert!(output.status.success(), "{output:?}");
        assert!(errors(&output).contains(words), "{words}: {output:?}");
        // Nothing is written where the receiver is not clear.
        assert_eq!(writes(&log).len(), 3 - appliers.len());
    }
}

/// Fields that the API server has set since (a volume's name, a class of load balancers) and that the old content does
/// not have are refused by the API server when they are left out: the dry run names them, and nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_api_server_has_set_since_is_named_and_nothing_is_written() {
    let script = |asked: &Asked| match (&asked.method, asked.is_dry) {
        (&Method::GET, _) => (200, live(2, "m:2")),
        (_, true) => {
            let (code, mut body) = failure(422, "Deployment.apps \"llama\" is invalid");
            body["details"] = json!({"causes": [{"reason": "FieldValueForbidden", "field": "spec.volumeName", "message": "Forbidden: may not change once set"}]});
            (code, body)
        }
        _ => failure(500, "not reached"),
    };
    let (output, log) = rollback(&[], Box::new(script)).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("spec.volumeName: cannot be changed"),
        "{output:?}"
    );
    assert!(writes(&log).is_empty());
}
