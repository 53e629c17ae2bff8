//! A running control plane.

use crate::certificates::Certificates;
use crate::components::{Plan, Ports, audit_log, kubeconfig, url};
use crate::process::{Process, Spec};
use crate::{Binaries, Component, Error, Options, Program, Result, binaries};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a component may take to become ready.
const READY: Duration = Duration::from_secs(90);
/// Another process may take a free port first; then everything starts over.
const TRIES: u32 = 3;

/// A control plane on loopback. Dropping it stops everything.
#[derive(Debug)]
pub struct Cluster {
    // Before the folder, so that the programs are gone when it is removed.
    running: Mutex<BTreeMap<Component, Process>>,
    specs: BTreeMap<Component, Spec>,
    binaries: Binaries,
    ports: Ports,
    certificates: Certificates,
    kubeconfigs: Vec<PathBuf>,
    folder: PathBuf,
    temporary: bool,
}

impl Cluster {
    /// Starts a cluster and waits until it is ready. Finds or builds the programs first.
    ///
    /// # Errors
    /// When a program is missing, or a component does not become ready; with the end of its log.
    pub fn start(options: &Options) -> Result<Self> {
        let binaries = binaries()?;
        let mut tries = 1;
        loop {
            match Self::attempt(options, &binaries) {
                Err(Error::Component { log, .. })
                    if log.contains("address already in use") && tries < TRIES =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    fn attempt(options: &Options, binaries: &Binaries) -> Result<Self> {
        let (folder, temporary) = folder(options)?;
        let ports = ports(options)?;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let kubeconfigs = kubeconfigs(&folder, &certificates, &ports)?;
        let plan = Plan {
            options,
            binaries,
            certificates: &certificates,
            folder: &folder,
            ports: &ports,
            temporary,
        };
        let components = plan.components();
        let specs = components
            .iter()
            .map(|component| (*component, plan.spec(*component)))
            .collect();
        let cluster = Self {
            running: Mutex::default(),
            specs,
            binaries: binaries.clone(),
            ports,
            certificates,
            kubeconfigs,
            folder,
            temporary,
        };
        for component in &components {
            if *component == Component::Kwok {
                cluster.apply(include_str!("../../control-plane/port-forwards.yaml"))?;
            }
            if *component == Component::ControllerManager && options.one_account {
                cluster.apply(&all_rights("system:kube-controller-manager"))?;
            }
            cluster.launch(*component)?;
            // The API server waits for etcd by itself; the others need an API server.
            if matches!(component, Component::ApiServer(_)) {
                cluster.wait(Component::Etcd)?;
                cluster.wait(*component)?;
            }
        }
        if options.kwok {
            cluster.apply(&nodes(cluster.ports.kwok))?;
        }
        Ok(cluster)
    }

    fn launch(&self, component: Component) -> Result<()> {
        let spec = self
            .specs
            .get(&component)
            .ok_or(Error::NoSuchComponent(component))?;
        let process = Process::start(spec, &self.folder)?;
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(component, process);
        Ok(())
    }

    fn with<T>(&self, component: Component, action: impl FnOnce(&Process) -> T) -> Result<T> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .get(&component)
            .map(action)
            .ok_or(Error::NoSuchComponent(component))
    }

    fn wait(&self, component: Component) -> Result<()> {
        let deadline = Instant::now() + READY;
        while !self.is_ready(component) {
            let failed = |what| {
                self.with(component, |p| Error::Component {
                    component,
                    what,
                    log: p.tail(),
                })
            };
            if !self.with(component, Process::is_alive)? {
                return Err(failed("ended")?);
            }
            if Instant::now() > deadline {
                return Err(failed("did not become ready")?);
            }
            sleep(Duration::from_millis(150));
        }
        Ok(())
    }

    fn is_ready(&self, component: Component) -> bool {
        match component {
            Component::Etcd => get(self.ports.etcd, "/health")
                .is_some_and(|body| body.contains("\"health\":\"true\"")),
            Component::ApiServer(number) => {
                let mut kubectl = self.kubectl_of(number);
                kubectl
                    .args(["get", "--raw", "/readyz"])
                    .stderr(Stdio::null());
                kubectl
                    .output()
                    .is_ok_and(|out| out.status.success() && out.stdout == b"ok")
            }
            _ => true,
        }
    }

    /// A kubeconfig file with all rights, for API server 0.
    pub fn kubeconfig(&self) -> &Path {
        self.kubeconfig_of(0)
    }

    /// A kubeconfig file with all rights, for one API server.
    pub fn kubeconfig_of(&self, api_server: usize) -> &Path {
        &self.kubeconfigs[api_server.min(self.kubeconfigs.len() - 1)]
    }

    /// Where an API server listens.
    pub fn api_server_url(&self, api_server: usize) -> String {
        url("https", self.ports.api_servers[api_server])
    }

    /// Where etcd listens, without TLS.
    pub fn etcd_endpoint(&self) -> String {
        url("http", self.ports.etcd)
    }

    /// The certificate that the API servers' certificates are signed by.
    pub fn authority(&self) -> PathBuf {
        self.certificates.certificate("ca")
    }

    /// The key that signs the tokens of service accounts.
    pub fn service_account_key(&self) -> PathBuf {
        self.certificates.key("service-accounts")
    }

    /// Where everything is kept.
    pub fn directory(&self) -> &Path {
        &self.folder
    }

    /// Who asked the API servers for what, one JSON object a line, where [`Options::audit`] is set.
    pub fn audit_log(&self) -> PathBuf {
        audit_log(&self.folder)
    }

    /// The log of a component.
    pub fn log(&self, component: Component) -> PathBuf {
        self.folder.join(format!("{component}.log"))
    }

    /// kubectl with all rights on API server 0.
    pub fn kubectl(&self) -> Command {
        self.kubectl_of(0)
    }

    fn kubectl_of(&self, api_server: usize) -> Command {
        let mut kubectl = Command::new(self.binaries.path(Program::Kubectl));
        // Its cache of discovery is per host and port, and ports come again.
        kubectl
            .env("KUBECONFIG", self.kubeconfig_of(api_server))
            .env("KUBECACHEDIR", self.folder.join("kubectl-cache"));
        kubectl
    }

    /// `kubectl apply` of a manifest.
    ///
    /// # Errors
    /// With what kubectl said.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let mut kubectl = self.kubectl();
        kubectl.args(["apply", "--server-side", "--force-conflicts", "-f", "-"]);
        let child = kubectl
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(Error::io("start kubectl"))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(manifest.as_bytes())
                .map_err(Error::io("write to kubectl"))?;
        }
        let out = child
            .wait_with_output()
            .map_err(Error::io("wait for kubectl"))?;
        if out.status.success() {
            return Ok(());
        }
        Err(Error::Kubectl(format!(
            "apply: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        )))
    }

    /// Kills a component; it stays down until [`Cluster::restart`].
    ///
    /// # Errors
    /// When this cluster has no such component.
    pub fn kill(&self, component: Component) -> Result<()> {
        self.with(component, |process| process.signal("KILL"))??;
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.with(component, Process::is_alive)? && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Stops a component without ending it.
    ///
    /// # Errors
    /// When this cluster has no such component.
    pub fn freeze(&self, component: Component) -> Result<()> {
        self.with(component, |process| process.signal("STOP"))?
    }

    /// Lets a frozen component go on.
    ///
    /// # Errors
    /// When this cluster has no such component.
    pub fn thaw(&self, component: Component) -> Result<()> {
        self.with(component, |process| process.signal("CONT"))?
    }

    /// Kills a component and starts it again, on the same port and data; waits until it is ready.
    ///
    /// # Errors
    /// When this cluster has no such component, or it does not become ready.
    pub fn restart(&self, component: Component) -> Result<()> {
        self.kill(component)?;
        // Removing the folder is for the end; the supervisor that goes now must leave it.
        let keep = self.folder.join("keep");
        fs::write(&keep, "").map_err(Error::io("write keep"))?;
        let old = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&component);
        drop(old);
        fs::remove_file(&keep).map_err(Error::io("remove keep"))?;
        self.launch(component)?;
        self.wait(component)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let running =
            std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        // From the last started to the first, so that none complains about one that is gone.
        running.into_iter().rev().for_each(drop);
        if self.temporary {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn folder(options: &Options) -> Result<(PathBuf, bool)> {
    if let Some(folder) = &options.directory {
        fs::create_dir_all(folder).map_err(Error::io(format!("create {}", folder.display())))?;
        return Ok((folder.clone(), false));
    }
    let folder = tempfile::Builder::new()
        .prefix("devcluster-")
        .tempdir()
        .map_err(Error::io("create a temporary folder"))?;
    Ok((folder.keep(), true))
}

/// All ports are held until all are found, so that they differ.
fn ports(options: &Options) -> Result<Ports> {
    let mut held = Vec::new();
    let mut free = || {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("find a free port"))?;
        let port = listener
            .local_addr()
            .map_err(Error::io("find a free port"))?
            .port();
        held.push(listener);
        Ok(port)
    };
    Ok(Ports {
        etcd: free()?,
        etcd_peer: free()?,
        api_servers: (0..options.api_servers.max(1))
            .map(|_| free())
            .collect::<Result<_>>()?,
        controller_manager: free()?,
        scheduler: free()?,
        kwok: free()?,
    })
}

/// Writes the kubeconfig files; returns those with all rights, one per API server.
fn kubeconfigs(folder: &Path, certificates: &Certificates, ports: &Ports) -> Result<Vec<PathBuf>> {
    let write = |user: &str, number: usize, port: u16| {
        let path = kubeconfig(folder, user, number);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "devcluster",
            "clusters": [{"name": "devcluster", "cluster": {
                "server": url("https", port), "certificate-authority": certificates.certificate("ca")}}],
            "users": [{"name": user, "user": {
                "client-certificate": certificates.certificate(user), "client-key": certificates.key(user)}}],
            "contexts": [{"name": "devcluster", "context": {"cluster": "devcluster", "user": user}}],
        });
        fs::write(&path, format!("{config:#}\n"))
            .map_err(Error::io(format!("write {}", path.display())))?;
        Ok(path)
    };
    for user in ["controller-manager", "scheduler", "kwok"] {
        write(user, 0, ports.api_servers[0])?;
    }
    ports
        .api_servers
        .iter()
        .enumerate()
        .map(|(number, port)| write("admin", number, *port))
        .collect()
}

/// What a user needs that acts for all controllers.
fn all_rights(user: &str) -> String {
    let api = "rbac.authorization.k8s.io";
    json!({
        "apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "one-account"},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": api, "kind": "User", "name": user}],
    })
    .to_string()
}

/// Two pools of two nodes with eight GPUs each.
fn nodes(kubelet: u16) -> String {
    let node = |pool: &str, number: u32| {
        let resources = json!({"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": "8", "ephemeral-storage": "1Ti"});
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("{pool}-{number}"), "labels": {
                "kubernetes.io/hostname": format!("{pool}-{number}"), "kai.scheduler/node-pool": pool,
                "nvidia.com/gpu.product": pool.to_uppercase(), "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}},
            "status": {"allocatable": resources, "capacity": resources,
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet}}},
        })
    };
    let items: Vec<_> = ["a100", "h100"]
        .iter()
        .flat_map(|pool| [node(pool, 0), node(pool, 1)])
        .collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// A GET without TLS; none unless it is answered with 200.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines()
        .next()?
        .contains(" 200 ")
        .then(|| body.to_owned())
}
