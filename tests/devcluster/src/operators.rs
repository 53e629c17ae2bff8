//! Operators, built from their Go modules like the control plane and kept in a cache folder with the manifests that they
//! need. A folder holds the program and `manifests`; it is keyed by what decides the build.

use crate::process::{Process, Spec};
use crate::{Cluster, Error, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// An operator of a kind of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// LeaderWorkerSet.
    Lws,
    /// Argo Rollouts.
    ArgoRollouts,
    /// KServe: InferenceService.
    KServe,
}

/// Where an operator is.
#[derive(Clone, Debug)]
pub struct OperatorFiles {
    /// The program.
    pub program: PathBuf,
    /// Its definitions, webhooks and the like, below the paths that they have in its module.
    pub manifests: PathBuf,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lws, Self::ArgoRollouts, Self::KServe];

    /// File name, also of the folder below `tests/operators/modules` whose go.mod pins it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lws => "lws",
            Self::ArgoRollouts => "argo-rollouts",
            Self::KServe => "kserve",
        }
    }

    fn module(self) -> &'static str {
        match self {
            Self::Lws => "sigs.k8s.io/lws",
            Self::ArgoRollouts => "github.com/argoproj/argo-rollouts",
            Self::KServe => "github.com/kserve/kserve",
        }
    }

    fn package(self) -> String {
        let command = match self {
            Self::Lws => "cmd",
            Self::ArgoRollouts => "cmd/rollouts-controller",
            Self::KServe => "cmd/manager",
        };
        format!("{}/{command}", self.module())
    }

    /// Folders of its module that hold manifests.
    fn manifests(self) -> &'static [&'static str] {
        match self {
            Self::Lws => &["config/crd/bases", "config/webhook"],
            Self::ArgoRollouts => &["manifests/crds"],
            Self::KServe => &[
                "config/crd/full",
                "config/configmap",
                "config/webhook",
                "config/runtimes",
            ],
        }
    }

    fn sources(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../operators/modules")
            .join(self.name())
    }

    /// Finds it, or builds it. Says on standard error when it builds; that takes minutes the first time.
    ///
    /// # Errors
    /// When it is not there and cannot be built.
    pub fn files(self) -> Result<OperatorFiles> {
        let folder = self.folder()?;
        let files = OperatorFiles {
            program: folder.join(self.name()),
            manifests: folder.join("manifests"),
        };
        if files.program.is_file() {
            return Ok(files);
        }
        let cache = folder.parent().unwrap_or(&folder).to_owned();
        fs::create_dir_all(&cache).map_err(Error::io(format!("create {}", cache.display())))?;
        let _lock = crate::binaries::lock(&cache)?;
        // Another process may have built it while this one waited.
        if !files.program.is_file() {
            self.build(&folder)?;
        }
        Ok(files)
    }

    fn folder(self) -> Result<PathBuf> {
        let mut key = DefaultHasher::new();
        for file in ["go.mod", "go.sum"] {
            let path = self.sources().join(file);
            fs::read(&path)
                .map_err(Error::io(format!("read {}", path.display())))?
                .hash(&mut key);
        }
        let name = format!("{}-{:016x}", self.name(), key.finish());
        Ok(crate::binaries::cache_base().join("operators").join(name))
    }

    fn build(self, folder: &Path) -> Result<()> {
        let name = self.name();
        eprintln!("operators: building {name} (once; minutes the first time)");
        let started = Instant::now();
        let module = self.go(&["list", "-m", "-f", "{{.Dir}}", self.module()])?;
        let partial = folder.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        for manifests in self.manifests() {
            let to = partial.join("manifests").join(manifests);
            copy(&Path::new(module.trim()).join(manifests), &to)?;
        }
        let program = partial.join(name).display().to_string();
        let flags = ["build", "-trimpath", "-ldflags", "-s -w", "-o", &program];
        self.go(&[flags.as_slice(), &[&self.package()]].concat())?;
        let _ = fs::remove_dir_all(folder);
        fs::rename(&partial, folder).map_err(Error::io(format!("rename {}", partial.display())))?;
        let seconds = started.elapsed().as_secs();
        eprintln!("operators: {name} built in {seconds} s");
        Ok(())
    }

    /// Runs go in the folder of its module. Returns what it prints.
    fn go(self, arguments: &[&str]) -> Result<String> {
        let out = Command::new("go")
            .args(arguments)
            .current_dir(self.sources())
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-buildvcs=false")
            .env("GOTOOLCHAIN", "local")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(Error::io("start go"))?;
        if !out.status.success() {
            return Err(Error::Binaries(format!(
                "go {} of {} failed; it needs Go 1.26 and the Go module proxy",
                arguments[0],
                self.name()
            )));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

/// Copies the files of a folder. Those of a module are read-only; the copies are not.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io(format!("create {}", to.display())))?;
    let entries = fs::read_dir(from).map_err(Error::io(format!("read {}", from.display())))?;
    for entry in entries {
        let path = entry.map_err(Error::io("read a folder"))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            let text = fs::read(&path).map_err(Error::io(format!("read {}", path.display())))?;
            fs::write(&target, text).map_err(Error::io(format!("write {}", target.display())))?;
        }
    }
    Ok(())
}

/// A program beside a cluster. It ends when this is dropped.
#[derive(Debug)]
pub struct Companion(Process);

impl Companion {
    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        self.0.tail()
    }

    /// Waits until it listens on a port of loopback.
    ///
    /// # Errors
    /// When it ends, or does not listen for a minute.
    pub fn wait_for_port(&self, port: u16) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if !self.is_alive() || Instant::now() > deadline {
                let tail = self.tail();
                return Err(Error::Binaries(format!(
                    "nothing listens on {port}:\n{tail}"
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Cluster {
    /// Starts a program beside the cluster. Its output is in the cluster's folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(
        &self,
        name: &str,
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<Companion> {
        let spec = Spec {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            environment: environment.to_vec(),
            remove: None,
        };
        Process::start(&spec, self.directory()).map(Companion)
    }

    /// A certificate for servers on loopback, signed by [`Cluster::authority`], and its key.
    pub fn serving_certificate(&self) -> (PathBuf, PathBuf) {
        let certificates = self.directory().join("certificates");
        (
            certificates.join("apiserver.crt"),
            certificates.join("apiserver.key"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_is_pinned_by_its_module() {
        for operator in Operator::ALL {
            let tools = fs::read_to_string(operator.sources().join("tools.go")).expect("tools.go");
            assert!(tools.contains(&format!("_ \"{}\"", operator.package())));
            let module = fs::read_to_string(operator.sources().join("go.mod")).expect("go.mod");
            assert!(module.contains(&format!("require {} v", operator.module())));
        }
    }
}
