//! The flags of every program.

use crate::certificates::Certificates;
use crate::process::Spec;
use crate::{Binaries, Component, Options, Program};
use std::path::{Path, PathBuf};

/// What the flags depend on.
pub(crate) struct Plan<'a> {
    pub(crate) options: &'a Options,
    pub(crate) binaries: &'a Binaries,
    pub(crate) certificates: &'a Certificates,
    pub(crate) folder: &'a Path,
    pub(crate) ports: &'a Ports,
    /// Whether the folder goes with the cluster.
    pub(crate) temporary: bool,
}

/// Where everything listens.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) api_servers: Vec<u16>,
    pub(crate) controller_manager: u16,
    pub(crate) scheduler: u16,
    pub(crate) kwok: u16,
}

impl Plan<'_> {
    /// The components in the order in which they start.
    pub(crate) fn components(&self) -> Vec<Component> {
        let optional = [
            (
                self.options.controller_manager,
                Component::ControllerManager,
            ),
            (self.options.scheduler, Component::Scheduler),
            (self.options.kwok, Component::Kwok),
        ];
        let servers = (0..self.options.api_servers).map(Component::ApiServer);
        let optional = optional
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, component)| component);
        [Component::Etcd]
            .into_iter()
            .chain(servers)
            .chain(optional)
            .collect()
    }

    /// How `component` is started.
    pub(crate) fn spec(&self, component: Component) -> Spec {
        let (program, arguments) = match component {
            Component::Etcd => (Program::Etcd, self.etcd()),
            Component::ApiServer(number) => (Program::ApiServer, self.api_server(number)),
            Component::ControllerManager => (Program::ControllerManager, self.controller_manager()),
            Component::Scheduler => (Program::Scheduler, self.scheduler()),
            Component::Kwok => (Program::Kwok, self.kwok()),
        };
        let procs = self
            .options
            .go_max_procs
            .map(|n| ("GOMAXPROCS".to_owned(), n.to_string()));
        Spec {
            name: component.to_string(),
            program: self.binaries.path(program).to_owned(),
            arguments,
            environment: procs.into_iter().collect(),
            remove: (self.temporary && component == Component::Etcd)
                .then(|| self.folder.to_owned()),
        }
    }

    fn etcd(&self) -> Vec<String> {
        let client = url("http", self.ports.etcd);
        let peer = url("http", self.ports.etcd_peer);
        let mut flags = vec![
            format!("--data-dir={}", self.folder.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--log-level=warn".to_owned(),
        ];
        if self.options.announces {
            // Clusters made by kubeadm set it too.
            flags.push("--watch-progress-notify-interval=5s".to_owned());
        }
        if !self.options.fsync {
            flags.push("--unsafe-no-fsync".to_owned());
        }
        if let Some(bytes) = self.options.quota_backend_bytes {
            flags.push(format!("--quota-backend-bytes={bytes}"));
        }
        flags
    }

    fn api_server(&self, number: usize) -> Vec<String> {
        let file = |path: PathBuf| path.display().to_string();
        let c = self.certificates;
        let mut flags = vec![
            format!("--etcd-servers={}", url("http", self.ports.etcd)),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.ports.api_servers[number]),
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            format!("--tls-cert-file={}", file(c.certificate("apiserver"))),
            format!("--tls-private-key-file={}", file(c.key("apiserver"))),
            format!("--client-ca-file={}", file(c.certificate("ca"))),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!(
                "--service-account-key-file={}",
                file(c.certificate("service-accounts"))
            ),
            format!(
                "--service-account-signing-key-file={}",
                file(c.key("service-accounts"))
            ),
            format!(
                "--requestheader-client-ca-file={}",
                file(c.certificate("front-proxy-ca"))
            ),
            "--requestheader-allowed-names=front-proxy".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            // Built-in kinds as JSON too, so that tests can read etcd.
            "--storage-media-type=application/json".to_owned(),
        ];
        if self.options.audit {
            flags.push(format!("--audit-policy-file={}", file(audit_policy())));
            flags.push(format!("--audit-log-path={}", file(audit_log(self.folder))));
        }
        if let Some(interval) = self.options.compaction_interval {
            flags.push(format!(
                "--etcd-compaction-interval={}ms",
                interval.as_millis()
            ));
        }
        flags
    }

    fn controller_manager(&self) -> Vec<String> {
        let mut flags = self.client_of("controller-manager", self.ports.controller_manager);
        if !self.options.one_account {
            flags.push("--use-service-account-credentials=true".to_owned());
        }
        flags.push(format!(
            "--service-account-private-key-file={}",
            self.certificates.key("service-accounts").display()
        ));
        flags.push(format!(
            "--root-ca-file={}",
            self.certificates.certificate("ca").display()
        ));
        flags.push("--horizontal-pod-autoscaler-sync-period=2s".to_owned());
        flags
    }

    fn scheduler(&self) -> Vec<String> {
        self.client_of("scheduler", self.ports.scheduler)
    }

    /// The rates are those of a large cluster: by default a test would wait for them.
    fn client_of(&self, name: &str, port: u16) -> Vec<String> {
        let kubeconfig = kubeconfig(self.folder, name, 0);
        vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--authentication-kubeconfig={}", kubeconfig.display()),
            format!("--authorization-kubeconfig={}", kubeconfig.display()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!(
                "--cert-dir={}",
                self.folder.join(format!("{name}-tls")).display()
            ),
            "--leader-elect=false".to_owned(),
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ]
    }

    fn kwok(&self) -> Vec<String> {
        let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane/stages.yaml");
        vec![
            format!(
                "--kubeconfig={}",
                kubeconfig(self.folder, "kwok", 0).display()
            ),
            format!("--config={}", stages.display()),
            "--manage-all-nodes=true".to_owned(),
            "--node-lease-duration-seconds=40".to_owned(),
            format!("--server-address=127.0.0.1:{}", self.ports.kwok),
            "--enable-crds=PortForward".to_owned(),
        ]
    }
}

/// Who asked for what, and the answer; no bodies.
fn audit_policy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane/audit.yaml")
}

/// The audit log of all API servers.
pub(crate) fn audit_log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

/// The kubeconfig file of a user for one API server.
pub(crate) fn kubeconfig(folder: &Path, user: &str, api_server: usize) -> PathBuf {
    let number = if api_server == 0 {
        String::new()
    } else {
        format!("-{api_server}")
    };
    folder.join(format!("{user}{number}.kubeconfig"))
}

/// An address on loopback.
pub(crate) fn url(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}
