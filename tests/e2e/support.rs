//! The shared cluster, running `revisor` processes, requests to the API server, and waiting for conditions.

use crate::oracle::{Expected, Oracle, Spec};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use devcluster::{Cluster, Options};
use flate2::read::GzDecoder;
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Kinds as they are called here: kind, API path, and how etcd's keys name it.
pub const DEPLOYMENT: Kind = Kind {
    kind: "Deployment",
    api: "apis/apps/v1",
    plural: "deployments",
    registry: "deployments",
};
pub const STATEFUL_SET: Kind = Kind {
    kind: "StatefulSet",
    api: "apis/apps/v1",
    plural: "statefulsets",
    registry: "statefulsets",
};
pub const INFERENCE_SERVICE: Kind = Kind {
    kind: "InferenceService",
    api: "apis/serving.kserve.io/v1beta1",
    plural: "inferenceservices",
    registry: "serving.kserve.io/inferenceservices",
};
pub const LEADER_WORKER_SET: Kind = Kind {
    kind: "LeaderWorkerSet",
    api: "apis/leaderworkerset.x-k8s.io/v1",
    plural: "leaderworkersets",
    registry: "leaderworkerset.x-k8s.io/leaderworkersets",
};
pub const KINDS: [Kind; 4] = [
    DEPLOYMENT,
    STATEFUL_SET,
    INFERENCE_SERVICE,
    LEADER_WORKER_SET,
];

#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub kind: &'static str,
    pub api: &'static str,
    pub plural: &'static str,
    pub registry: &'static str,
}

impl Kind {
    pub fn path(&self, namespace: &str) -> String {
        format!("/{}/namespaces/{namespace}/{}", self.api, self.plural)
    }

    /// The example manifest of this kind.
    pub fn example(&self) -> Value {
        let file = fixtures().join(format!("workloads/{}.yaml", self.kind.to_lowercase()));
        let text = std::fs::read_to_string(&file).expect("a fixture");
        serde_saphyr::from_str(&text).expect("YAML")
    }
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A cluster with the CRDs, and a witness of all that etcd stores.
pub struct World {
    pub cluster: Cluster,
    pub oracle: Oracle,
}

impl World {
    pub fn start(options: &Options) -> Self {
        let cluster = Cluster::start(options).expect("a cluster");
        let kinds: Vec<_> = KINDS.iter().map(|kind| kind.registry).collect();
        let oracle = Oracle::start(&cluster.etcd_endpoint(), &kinds);
        cluster.apply(&crds()).expect("CRDs");
        let wait = [
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=20s",
        ];
        assert!(
            cluster
                .kubectl()
                .args(wait)
                .output()
                .expect("kubectl")
                .status
                .success()
        );
        Self { cluster, oracle }
    }

    pub async fn client(&self) -> Client {
        client(self.cluster.kubeconfig()).await
    }

    /// A fresh namespace.
    pub async fn namespace(&self, purpose: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{purpose}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        post(&self.client().await, "/api/v1/namespaces", &body).await;
        name
    }

    /// Runs kubectl and returns what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let out = self
            .cluster
            .kubectl()
            .args(arguments)
            .output()
            .expect("kubectl");
        assert!(
            out.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).expect("text")
    }

    /// Everything that has to be recorded of `kinds` is, equal to what etcd stored, and nothing else.
    pub async fn assert_recorded(&self, namespace: &str, kinds: &[Kind]) -> usize {
        let (recorded, gaps) = self.compare(namespace, kinds, &BTreeSet::new(), None).await;
        assert_eq!(gaps, 0, "generations are lost");
        recorded
    }

    /// The same, when one is stored without its content.
    pub async fn assert_recorded_but(
        &self,
        namespace: &str,
        kinds: &[Kind],
        without: &(String, i64),
    ) -> usize {
        let (all, _) = self
            .compare(namespace, kinds, &BTreeSet::new(), Some(without))
            .await;
        all - 1
    }

    /// The same, when generations may be lost: each that is not recorded is in a Gap, none is in both, and Gaps hold
    /// nothing that never was. How many are recorded, and how many are in Gaps.
    pub async fn assert_recorded_or_gap(&self, namespace: &str, kind: Kind) -> (usize, usize) {
        let gaps = gaps(&self.client().await, namespace).await;
        let all = self.oracle.generations(kind.registry, namespace);
        let never: Vec<_> = gaps.difference(&all).collect();
        assert!(
            never.is_empty(),
            "Gaps hold generations that never were: {never:?}"
        );
        self.compare(namespace, &[kind], &gaps, None).await
    }

    async fn compare(
        &self,
        namespace: &str,
        kinds: &[Kind],
        gaps: &BTreeSet<(String, i64)>,
        without: Option<&(String, i64)>,
    ) -> (usize, usize) {
        let mut expected = Expected::new();
        for kind in kinds {
            expected.extend(self.oracle.expected(kind.registry, namespace));
        }
        let recorded = recorded(&self.client().await, namespace).await;
        let both: Vec<_> = recorded.keys().filter(|key| gaps.contains(key)).collect();
        assert!(both.is_empty(), "recorded, and in a Gap: {both:?}");
        expected.retain(|key, _| !gaps.contains(key));
        let keys = |set: &Expected| {
            set.keys()
                .cloned()
                .collect::<std::collections::BTreeSet<_>>()
        };
        let want = keys(&expected);
        let have = keys(&recorded);
        let missing: Vec<_> = want.difference(&have).collect();
        let extra: Vec<_> = have.difference(&want).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "missing {missing:?}, extra {extra:?}"
        );
        for (key, spec) in expected.iter().filter(|(key, _)| Some(*key) != without) {
            assert!(
                recorded[key] == *spec,
                "content of {key:?} differs: {spec:?} and {:?}",
                recorded[key]
            );
        }
        (expected.len(), gaps.len())
    }
}

/// One cluster for all tests that do not disturb it.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        World::start(&Options {
            controller_manager: true,
            ..Options::minimal()
        })
    })
}

/// One `revisor run` for them.
pub fn revisor() -> &'static Revisor {
    static REVISOR: OnceLock<Revisor> = OnceLock::new();
    REVISOR.get_or_init(|| Revisor::start(world().cluster.kubeconfig(), &[]))
}

fn crds() -> String {
    let mut text = run_revisor(&["crds"]);
    for file in ["inferenceservices", "leaderworkersets"] {
        text += "---\n";
        text += &std::fs::read_to_string(fixtures().join(format!("crds/{file}.yaml")))
            .expect("a fixture");
    }
    text
}

/// Runs a command of `revisor` to its end.
pub fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_revisor"))
        .args(arguments)
        .output()
        .expect("revisor")
}

fn run_revisor(arguments: &[&str]) -> String {
    let out = command(arguments);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).expect("text")
}

/// A running `revisor run`. Killed when dropped, and when this process ends in whatever way.
pub struct Revisor {
    supervisor: Child,
    pub pid: u32,
    pub admin: u16,
    pub rest: u16,
    log: tempfile::NamedTempFile,
}

/// The shell tells the process id, then the exit code, and kills the process when its standard input ends.
const SUPERVISOR: &str = r#"exec 3<&0
"$@" </dev/null & child=$!
echo "$child"
{ cat; kill -KILL "$child"; } <&3 >/dev/null 2>&1 & killer=$!
wait "$child"; code=$?
kill "$killer" 2>/dev/null
echo "$code"
"#;

impl Revisor {
    /// Starts it and waits until it is ready.
    pub fn start(kubeconfig: &Path, flags: &[&str]) -> Self {
        let revisor = Self::launch(kubeconfig, flags);
        revisor.wait_ready();
        revisor
    }

    pub fn launch(kubeconfig: &Path, flags: &[&str]) -> Self {
        let flags: Vec<_> = flags
            .iter()
            .copied()
            .chain(["--insecure-no-auth"])
            .collect();
        Self::launch_secure(kubeconfig, &flags)
    }

    /// With TLS and authentication, as in production; the admin port is still open to everybody on loopback.
    pub fn start_secure(kubeconfig: &Path, flags: &[&str]) -> Self {
        let revisor = Self::launch_secure(kubeconfig, flags);
        revisor.wait_ready();
        revisor
    }

    pub fn launch_secure(kubeconfig: &Path, flags: &[&str]) -> Self {
        Self::launch_on(kubeconfig, &format!("127.0.0.1:{}", free_port()), flags)
    }

    /// With the admin port at `admin`; it is not waited for.
    pub fn launch_on(kubeconfig: &Path, admin: &str, flags: &[&str]) -> Self {
        let rest = free_port();
        let number = admin
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        let log = tempfile::NamedTempFile::new().expect("a log");
        let format: &[&str] = if flags.contains(&"--log-format") {
            &[]
        } else {
            &["--log-format", "text"]
        };
        let mut supervisor = Command::new("sh")
            .args([
                "-c",
                SUPERVISOR,
                "supervisor",
                env!("CARGO_BIN_EXE_revisor"),
                "run",
            ])
            .args(format)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args([
                "--admin-listen",
                admin,
                "--listen",
                &format!("127.0.0.1:{rest}"),
            ])
            // As deployed. What is not needed any more is given back at once, so memory can be measured.
            .envs([("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ALLOW_THP", "0")])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.reopen().expect("a log"))
            .spawn()
            .expect("sh");
        let mut line = String::new();
        let stdout = supervisor.stdout.as_mut().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)
            .expect("a process id");
        Self {
            supervisor,
            pid: line.trim().parse().expect("a number"),
            admin: number,
            rest,
            log,
        }
    }

    pub fn wait_ready(&self) {
        self.wait_ready_within(Duration::from_secs(40));
    }

    pub fn wait_ready_within(&self, limit: Duration) {
        let ready = || get(self.admin, "/readyz").is_some_and(|(code, _)| code == 200);
        assert!(eventually(limit, ready), "not ready:\n{}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("a log")
    }

    pub fn is_alive(&self) -> bool {
        let out = Command::new("ps")
            .args(["-o", "stat=", "-p", &self.pid.to_string()])
            .output()
            .expect("ps");
        out.status.success() && !out.stdout.trim_ascii_start().starts_with(b"Z")
    }

    /// Waits for the end, and returns its exit code.
    pub fn exit_code(&mut self) -> i32 {
        let mut code = String::new();
        let mut output = self.supervisor.stdout.take().expect("asked once");
        output.read_to_string(&mut code).expect("an exit code");
        code.trim().parse().expect("a number")
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.pid.to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// The sum of all samples of a metric whose line contains `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let (_, text) = get(self.admin, "/metrics").expect("metrics");
        let samples = text.lines().filter(|l| {
            l.starts_with(name) && l[name.len()..].starts_with([' ', '{']) && l.contains(labels)
        });
        samples
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Waits until everything of `kind` up to `resource_version` is durable.
    pub fn wait_recorded(&self, kind: Kind, resource_version: u64) {
        let label = format!("kind=\"{}\"", kind.kind);
        #[allow(clippy::cast_precision_loss)]
        let done =
            || self.metric("revisor_recorded_resource_version", &label) >= resource_version as f64;
        assert!(
            eventually(Duration::from_secs(60), done),
            "{label} did not reach {resource_version}:\n{}",
            self.log()
        );
    }
}

impl Drop for Revisor {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port()
}

/// GET on loopback, without TLS.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Whether `condition` comes true in time.
pub fn eventually(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    condition()
}

pub async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a config");
    Client::try_from(config).expect("a client")
}

/// Sends one request; the status and the body.
pub async fn send(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: &str,
) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type);
    let request = request
        .body(kube::client::Body::from(body.to_owned().into_bytes()))
        .expect("a request");
    let answer = client.send(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(answer.into_body())
        .await
        .expect("a body")
        .to_bytes();
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

/// Identity of a stored object.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    #[serde(default)]
    pub generation: i64,
}

impl Meta {
    pub fn version(&self) -> u64 {
        self.resource_version.parse().expect("a number")
    }
}

fn meta(path: &str, (status, body): (u16, String)) -> Meta {
    #[derive(serde::Deserialize)]
    struct Object {
        metadata: Meta,
    }
    assert!(
        (200..300).contains(&status),
        "{path}: {status} {}",
        body.chars().take(600).collect::<String>()
    );
    serde_json::from_str::<Object>(&body)
        .expect("an object")
        .metadata
}

pub async fn post(client: &Client, path: &str, body: &Value) -> Meta {
    post_text(client, path, &body.to_string()).await
}

pub async fn post_text(client: &Client, path: &str, body: &str) -> Meta {
    meta(
        path,
        send(client, Method::POST, path, "application/json", body).await,
    )
}

pub async fn patch(client: &Client, path: &str, patch: &Value) -> Meta {
    let uri = format!("{path}?fieldManager=e2e");
    meta(
        path,
        send(
            client,
            Method::PATCH,
            &uri,
            "application/merge-patch+json",
            &patch.to_string(),
        )
        .await,
    )
}

pub async fn read(client: &Client, path: &str) -> Value {
    let (status, body) = send(client, Method::GET, path, "application/json", "").await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

/// All Revisions of a namespace.
pub async fn revisions(client: &Client, namespace: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!(
            "/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions?limit=500&continue={token}"
        );
        let page = read(client, &path).await;
        all.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => return all,
        }
    }
}

/// What is recorded in a namespace.
pub async fn recorded(client: &Client, namespace: &str) -> Expected {
    let all = revisions(client, namespace).await;
    let one = |revision: &Value| {
        let spec = &revision["spec"];
        let uid = spec["workload"]["uid"].as_str().expect("a uid").to_owned();
        let text = snapshot(revision).unwrap_or_default();
        (
            (uid, spec["generation"].as_i64().expect("a number")),
            Spec::new(&spec_of(&text)),
        )
    };
    let all: Vec<_> = all
        .iter()
        .filter(|revision| revision["spec"]["type"] != "Gap")
        .collect();
    let set: BTreeMap<_, _> = all.iter().map(|revision| one(revision)).collect();
    assert_eq!(set.len(), all.len(), "one generation is recorded twice");
    set
}

/// The generations that Gaps of a namespace stand for.
pub async fn gaps(client: &Client, namespace: &str) -> BTreeSet<(String, i64)> {
    let all = revisions(client, namespace).await;
    let one = |revision: &Value| {
        let spec = &revision["spec"];
        let uid = spec["workload"]["uid"].as_str().expect("a uid").to_owned();
        let end = |name: &str| spec["gap"][name].as_i64();
        let from = end("from").unwrap_or(1);
        let to = end("to").unwrap_or(0);
        (from..=to)
            .map(move |generation| (uid.clone(), generation))
            .collect::<Vec<_>>()
    };
    all.iter().flat_map(one).collect()
}

fn spec_of(snapshot: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        spec: Option<&'a RawValue>,
    }
    let object: Option<Object<'_>> = serde_json::from_str(snapshot).ok();
    object
        .and_then(|o| o.spec)
        .map_or("null", RawValue::get)
        .to_owned()
}

/// The text of a Revision's snapshot, when it has one.
pub fn snapshot(revision: &Value) -> Option<String> {
    let data = revision["spec"]["snapshot"]["data"].as_str()?;
    let mut text = String::new();
    let gzip = BASE64_STANDARD.decode(data).expect("base64");
    GzDecoder::new(gzip.as_slice())
        .read_to_string(&mut text)
        .expect("gzip");
    Some(text)
}

/// Edits one object `count` times, one after the other over one connection.
pub async fn edit(
    client: &Client,
    path: &str,
    count: usize,
    change: impl Fn(usize) -> Value,
) -> Meta {
    let mut last = None;
    for i in 0..count {
        last = Some(patch(client, path, &change(i)).await);
    }
    last.expect("at least one edit")
}
