//! A pod of the Deployment, played by a process: its root holds the program, the libraries that it is linked to and the
//! volumes of the pod, and nothing else; its environment is that of the container.

use crate::serve::people::token;
use crate::support::{Revisor, free_port, read};
use devcluster::Cluster;
use kube::Client;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Where the image has the program, and its PATH.
pub const PROGRAM: &str = "/usr/local/bin/revisor";
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// The user and group of the Deployment.
const USER: &str = "65532:65532";

/// A root folder with a program in it.
pub struct Root(TempDir);

impl Root {
    /// With `program` as [`PROGRAM`], and its libraries.
    pub fn with(program: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), readable).expect("ours");
        let root = Self(folder);
        root.put(program, PROGRAM);
        for library in libraries(program) {
            root.put(&library, library.to_str().expect("text"));
        }
        root
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn put(&self, file: &Path, path: &str) {
        let to = self.inside(path);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        // The file itself: a link would lead out of the root.
        let file = fs::canonicalize(file).expect("a file");
        if fs::hard_link(&file, &to).is_err() {
            fs::copy(&file, &to).expect("copied");
        }
    }

    /// Writes a file that every user may read.
    pub fn write(&self, path: &str, text: &str) {
        let to = self.inside(path);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::write(&to, text).expect("written");
    }

    /// The words that start `arguments` within, as the user of the Deployment where this process may choose one.
    pub fn command(&self, arguments: &[String]) -> Vec<String> {
        let root = self.0.path().display().to_string();
        let mut words = Vec::new();
        if is_root() {
            words.extend([tool("chroot"), format!("--userspec={USER}"), root]);
        } else {
            words.extend([tool("unshare"), "--map-root-user".to_owned()]);
            words.extend([tool("chroot"), root]);
        }
        words.extend(arguments.iter().cloned());
        words
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    id.stdout.trim_ascii() == b"0"
}

/// The file of a tool of the system.
fn tool(name: &str) -> String {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let mut files = folders.iter().map(|folder| format!("{folder}/{name}"));
    files
        .find(|file| Path::new(file).is_file())
        .unwrap_or_else(|| panic!("{name} is not there"))
}

/// The libraries that a program is linked to, as `ldd` names them.
pub fn libraries(program: &Path) -> Vec<PathBuf> {
    let out = Command::new("ldd").arg(program).output().expect("ldd");
    assert!(out.status.success(), "{out:?}");
    let text = String::from_utf8(out.stdout).expect("text");
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

/// A pod, and where its process is.
pub struct Replica {
    pub name: String,
    pub process: Revisor,
    root: Root,
    environment: Vec<(String, String)>,
}

impl Replica {
    /// Starts the container of `pod`.
    pub async fn start(cluster: &Cluster, client: &Client, pod: &Value) -> Self {
        let container = &pod["spec"]["containers"][0];
        let root = Root::with(Path::new(env!("CARGO_BIN_EXE_revisor")));
        mount(client, pod, &root).await;
        let [admin, rest, health] = [(); 3].map(|()| free_port());
        let mut environment = environment(cluster, pod);
        // The pods of a node have addresses of their own; these processes share one.
        for (name, host, port) in [
            ("REVISOR_ADMIN_LISTEN", "0.0.0.0", admin),
            ("REVISOR_LISTEN", "0.0.0.0", rest),
            ("REVISOR_HEALTH_LISTEN", "127.0.0.1", health),
        ] {
            environment.retain(|(known, _)| known != name);
            environment.push((name.to_owned(), format!("{host}:{port}")));
        }
        let program = [texts(&container["command"]), texts(&container["args"])].concat();
        let log = tempfile::NamedTempFile::new().expect("a log");
        let process = Revisor::supervised(
            shell(&environment),
            &root.command(&program),
            log,
            admin,
            rest,
        );
        Self {
            name: text(&pod["metadata"]["name"]),
            process,
            root,
            environment,
        }
    }

    /// Runs the command of a probe inside the pod.
    pub fn probe(&self, probe: &Value) -> Output {
        let words = self.root.command(&texts(&probe["exec"]["command"]));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear();
        command.envs(self.environment.iter().cloned());
        command.output().expect("the probe")
    }
}

/// The shell that starts the process, with the environment of the container and nothing else.
fn shell(environment: &[(String, String)]) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.env_clear().envs(environment.iter().cloned());
    shell
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.map(text).collect()
}

/// What the kubelet puts into the environment of a container.
fn environment(cluster: &Cluster, pod: &Value) -> Vec<(String, String)> {
    let address = cluster.api_server_url(0);
    let (_, port) = address.rsplit_once(':').expect("a port");
    let mut all = vec![
        ("PATH".to_owned(), PATH.to_owned()),
        ("KUBERNETES_SERVICE_HOST".to_owned(), "127.0.0.1".to_owned()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), port.to_owned()),
    ];
    let variables = pod["spec"]["containers"][0]["env"].as_array();
    for variable in variables.into_iter().flatten() {
        let value = match &variable["value"] {
            Value::Null => field(pod, &variable["valueFrom"]["fieldRef"]["fieldPath"]),
            value => text(value),
        };
        all.push((text(&variable["name"]), value));
    }
    all
}

/// A field of the pod as the downward API gives it.
fn field(pod: &Value, path: &Value) -> String {
    match path.as_str() {
        Some("metadata.name") => text(&pod["metadata"]["name"]),
        Some("metadata.namespace") => text(&pod["metadata"]["namespace"]),
        other => panic!("{other:?} is not expected"),
    }
}

/// Puts all volumes of a pod where its container wants them.
async fn mount(client: &Client, pod: &Value, root: &Root) {
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array();
    for mount in mounts.into_iter().flatten() {
        let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|one| one["name"] == mount["name"]);
        let volume = volume.expect("a volume of that name");
        let at = text(&mount["mountPath"]);
        if volume["configMap"].is_object() {
            let name = &volume["configMap"]["name"];
            config_map(client, pod, name, &Value::Null, root, &at).await;
        }
        for source in volume["projected"]["sources"]
            .as_array()
            .into_iter()
            .flatten()
        {
            project(client, pod, source, root, &at).await;
        }
    }
}

async fn project(client: &Client, pod: &Value, source: &Value, root: &Root, at: &str) {
    if let Some(path) = source["serviceAccountToken"]["path"].as_str() {
        let audience = source["serviceAccountToken"]["audience"].as_str();
        let namespace = text(&pod["metadata"]["namespace"]);
        let account = text(&pod["spec"]["serviceAccountName"]);
        let token = token(client, &namespace, &account, audience.as_slice()).await;
        root.write(&format!("{at}/{path}"), &token);
    }
    if source["configMap"].is_object() {
        let map = &source["configMap"];
        config_map(client, pod, &map["name"], &map["items"], root, at).await;
    }
    for item in source["downwardAPI"]["items"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let value = field(pod, &item["fieldRef"]["fieldPath"]);
        root.write(&format!("{at}/{}", text(&item["path"])), &value);
    }
}

async fn config_map(
    client: &Client,
    pod: &Value,
    name: &Value,
    items: &Value,
    root: &Root,
    at: &str,
) {
    let namespace = text(&pod["metadata"]["namespace"]);
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{}", text(name));
    let map = read(client, &path).await;
    for (key, value) in map["data"].as_object().into_iter().flatten() {
        let item = items.as_array().into_iter().flatten();
        let file = item
            .filter(|item| item["key"] == **key)
            .find_map(|item| item["path"].as_str());
        if file.is_some() || items.is_null() {
            root.write(&format!("{at}/{}", file.unwrap_or(key)), &text(value));
        }
    }
}
