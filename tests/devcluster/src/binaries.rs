//! Finds the programs of a control plane, or builds them from Go modules and keeps them in a cache folder.
//!
//! Looked up in this order: `KUBEBUILDER_ASSETS` (the layout of envtest), the cache, `go build`. kubectl may also come
//! from the PATH. The cache is keyed by what decides the build, so that another version is another folder.

use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KUBERNETES: &str = "v1.37.2";

/// A program of a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// Plays the kubelets.
    Kwok,
    /// The command line.
    Kubectl,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kwok, Self::Kubectl];

    /// File name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kwok => "kwok",
            Self::Kubectl => "kubectl",
        }
    }

    fn package(self) -> String {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3".to_owned(),
            Self::Kwok => "sigs.k8s.io/kwok/cmd/kwok".to_owned(),
            other => format!("k8s.io/kubernetes/cmd/{}", other.name()),
        }
    }

    /// The folder below `tests/control-plane` whose go.mod pins it.
    fn module(self) -> PathBuf {
        let root = sources();
        if self == Self::Kwok { root.join("kwok") } else { root }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Binaries(BTreeMap<Program, PathBuf>);

impl Binaries {
    /// The file of `program`.
    pub fn path(&self, program: Program) -> &Path {
        self.0.get(&program).map_or(Path::new(program.name()), PathBuf::as_path)
    }
}

/// Finds or builds all programs. Says on standard error what it builds; that takes minutes the first time.
///
/// # Errors
/// When a program is missing and cannot be built; says what is needed for it.
pub fn binaries() -> Result<Binaries> {
    let cache = cache_folder()?;
    let mut found = BTreeMap::new();
    let missing: Vec<_> = Program::ALL.into_iter().filter(|p| !find(*p, &cache, &mut found)).collect();
    if missing.is_empty() {
        return Ok(Binaries(found));
    }
    fs::create_dir_all(&cache).map_err(Error::io(format!("create {}", cache.display())))?;
    let _lock = lock(&cache)?;
    // Another process may have built them while this one waited.
    let missing: Vec<_> = missing.into_iter().filter(|p| !find(*p, &cache, &mut found)).collect();
    for (i, program) in missing.iter().enumerate() {
        let to = cache.join(program.name());
        build(*program, &to, &format!("[{} of {}]", i + 1, missing.len()))?;
        found.insert(*program, to);
    }
    Ok(Binaries(found))
}

fn find(program: Program, cache: &Path, found: &mut BTreeMap<Program, PathBuf>) -> bool {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let mut folders: Vec<PathBuf> = assets.into_iter().chain([cache.to_owned()]).collect();
    if program == Program::Kubectl {
        folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    }
    let file = folders.into_iter().map(|folder| folder.join(program.name())).find(|file| file.is_file());
    let is_found = file.is_some();
    found.extend(file.map(|file| (program, file)));
    is_found
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane")
}

fn cache_folder() -> Result<PathBuf> {
    let mut key = DefaultHasher::new();
    KUBERNETES.hash(&mut key);
    for file in ["go.mod", "go.sum", "kwok/go.mod", "kwok/go.sum"] {
        let path = sources().join(file);
        fs::read(&path).map_err(Error::io(format!("read {}", path.display())))?.hash(&mut key);
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir);
    Ok(base.join("revisor/control-plane").join(format!("{KUBERNETES}-{:016x}", key.finish())))
}

/// Two builds at once would take all memory of a small machine.
fn lock(cache: &Path) -> Result<File> {
    let path = cache.join("lock");
    let file = File::create(&path).map_err(Error::io(format!("create {}", path.display())))?;
    if file.try_lock().is_err() {
        eprintln!("control plane: another process is building it; waiting");
        file.lock().map_err(Error::io(format!("lock {}", path.display())))?;
    }
    Ok(file)
}

fn build(program: Program, to: &Path, place: &str) -> Result<()> {
    let name = program.name();
    let partial = to.with_extension("partial");
    let minor = KUBERNETES.split('.').nth(1).unwrap_or_default();
    let version = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {version}.gitVersion={KUBERNETES} -X {version}.gitMajor=1 -X {version}.gitMinor={minor}"
    );
    eprintln!("control plane: {place} building {name} (once; minutes the first time)");
    let started = Instant::now();
    let mut go = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&partial)
        .arg(program.package())
        .current_dir(program.module())
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| missing_go(name, &error))?;
    let status = loop {
        match go.try_wait().map_err(Error::io("wait for go"))? {
            Some(status) => break status,
            None => progress(name, started),
        }
    };
    if !status.success() {
        return Err(Error::Binaries(format!(
            "go build of {name} failed; it needs Go 1.26 or newer and the Go module proxy"
        )));
    }
    fs::rename(&partial, to).map_err(Error::io(format!("rename {}", partial.display())))?;
    eprintln!("control plane: {place} {name} built in {} s", started.elapsed().as_secs());
    Ok(())
}

fn progress(name: &str, started: Instant) {
    std::thread::sleep(Duration::from_millis(500));
    if std::io::stderr().is_terminal() {
        eprint!("\rcontrol plane: {name} {} s \r", started.elapsed().as_secs());
    }
}

fn missing_go(name: &str, error: &std::io::Error) -> Error {
    Error::Binaries(format!(
        "{name} is not there, and `go` to build it with is not either ({error}): install Go 1.26 or newer, \
         or point KUBEBUILDER_ASSETS to a folder that has {name}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_pinned_by_its_module() {
        for program in Program::ALL {
            let tools = fs::read_to_string(program.module().join("tools.go")).expect("tools.go");
            assert!(tools.contains(&format!("_ \"{}\"", program.package())), "{}", program.package());
        }
        let module = fs::read_to_string(sources().join("go.mod")).expect("go.mod");
        assert!(
            module.contains(&format!("k8s.io/kubernetes {KUBERNETES}")),
            "KUBERNETES is not what go.mod pins"
        );
    }
}
