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
/// The oldest version that is tested. `DEVCLUSTER_KUBERNETES` chooses between the two.
const OLDER: &str = "v1.33.5";
const CHOICE: &str = "DEVCLUSTER_KUBERNETES";

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
    pub const ALL: [Self; 6] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kwok,
        Self::Kubectl,
    ];

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
    fn module(self, version: &str) -> PathBuf {
        let root = sources();
        match self {
            Self::Kwok => root.join("kwok"),
            _ if version == OLDER && self.has_versions() => root.join("older"),
            _ => root,
        }
    }

    /// Whether an older version of it is there to be chosen. The others serve every version.
    fn has_versions(self) -> bool {
        matches!(
            self,
            Self::ApiServer | Self::ControllerManager | Self::Scheduler
        )
    }

    /// The version that it is built as.
    fn version(self, chosen: &'static str) -> &'static str {
        if self.has_versions() {
            chosen
        } else {
            KUBERNETES
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Binaries(BTreeMap<Program, PathBuf>);

impl Binaries {
    /// The file of `program`.
    pub fn path(&self, program: Program) -> &Path {
        self.0
            .get(&program)
            .map_or(Path::new(program.name()), PathBuf::as_path)
    }
}

/// Finds or builds all programs. Says on standard error what it builds; that takes minutes the first time.
///
/// # Errors
/// When a program is missing and cannot be built; says what is needed for it.
pub fn binaries() -> Result<Binaries> {
    let places = Places::of_this_process()?;
    let mut found = BTreeMap::new();
    let missing = places.find_all(&mut found);
    if missing.is_empty() {
        return Ok(Binaries(found));
    }
    let cache = &places.cache;
    fs::create_dir_all(cache).map_err(Error::io(format!("create {}", cache.display())))?;
    let _lock = lock(cache)?;
    // Another process may have built them while this one waited.
    let missing = places.find_all(&mut found);
    for (i, program) in missing.iter().enumerate() {
        let to = places.cached(*program);
        let folder = to.parent().unwrap_or(cache);
        fs::create_dir_all(folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let version = program.version(places.chosen);
        build(
            *program,
            version,
            &to,
            &format!("[{} of {}]", i + 1, missing.len()),
        )?;
        found.insert(*program, to);
    }
    Ok(Binaries(found))
}

/// Where programs are looked for.
struct Places {
    /// The folder of `KUBEBUILDER_ASSETS`.
    assets: Option<PathBuf>,
    cache: PathBuf,
    /// The folders of the PATH.
    path: Vec<PathBuf>,
    /// The version of Kubernetes.
    chosen: &'static str,
}

impl Places {
    fn of_this_process() -> Result<Self> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let path = std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths)
            .collect();
        Ok(Self {
            assets,
            cache: cache_folder()?,
            path,
            chosen: chosen()?,
        })
    }

    /// Adds what is there, and returns what is not.
    fn find_all(&self, found: &mut BTreeMap<Program, PathBuf>) -> Vec<Program> {
        for program in Program::ALL {
            if let Some(file) = self.find(program) {
                found.insert(program, file);
            }
        }
        Program::ALL
            .into_iter()
            .filter(|program| !found.contains_key(program))
            .collect()
    }

    /// Where a program is kept that was built here.
    fn cached(&self, program: Program) -> PathBuf {
        if self.chosen == OLDER && program.has_versions() {
            self.cache.join(OLDER).join(program.name())
        } else {
            self.cache.join(program.name())
        }
    }

    fn find(&self, program: Program) -> Option<PathBuf> {
        if self.chosen == OLDER && program.has_versions() {
            return Some(self.cached(program)).filter(|file| file.is_file());
        }
        let path = if program == Program::Kubectl {
            self.path.as_slice()
        } else {
            &[]
        };
        let folders = self.assets.iter().chain([&self.cache]).chain(path);
        folders
            .map(|folder| folder.join(program.name()))
            .find(|file| file.is_file())
    }
}

fn chosen() -> Result<&'static str> {
    let Some(choice) = std::env::var_os(CHOICE) else {
        return Ok(KUBERNETES);
    };
    let known = [KUBERNETES, OLDER];
    let found = known.into_iter().find(|version| choice == **version);
    found.ok_or_else(|| {
        Error::Binaries(format!(
            "{CHOICE}={} is not one of {}",
            choice.display(),
            known.join(", ")
        ))
    })
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane")
}

fn cache_folder() -> Result<PathBuf> {
    let mut key = DefaultHasher::new();
    KUBERNETES.hash(&mut key);
    for file in ["go.mod", "go.sum", "kwok/go.mod", "kwok/go.sum"] {
        let path = sources().join(file);
        fs::read(&path)
            .map_err(Error::io(format!("read {}", path.display())))?
            .hash(&mut key);
    }
    Ok(cache_base()
        .join("control-plane")
        .join(format!("{KUBERNETES}-{:016x}", key.finish())))
}

/// Where everything is kept that was built here.
pub(crate) fn cache_base() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("revisor")
}

/// Two builds at once would take all memory of a small machine.
pub(crate) fn lock(cache: &Path) -> Result<File> {
    let path = cache.join("lock");
    let file = File::create(&path).map_err(Error::io(format!("create {}", path.display())))?;
    if file.try_lock().is_err() {
        eprintln!("{}: another process builds there; waiting", cache.display());
        file.lock()
            .map_err(Error::io(format!("lock {}", path.display())))?;
    }
    Ok(file)
}

fn build(program: Program, of: &str, to: &Path, place: &str) -> Result<()> {
    let name = program.name();
    let partial = to.with_extension("partial");
    let minor = of.split('.').nth(1).unwrap_or_default();
    let version = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {version}.gitVersion={of} -X {version}.gitMajor=1 -X {version}.gitMinor={minor}"
    );
    eprintln!("control plane: {place} building {name} (once; minutes the first time)");
    let started = Instant::now();
    let mut go = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&partial)
        .arg(program.package())
        .current_dir(program.module(of))
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
    eprintln!(
        "control plane: {place} {name} built in {} s",
        started.elapsed().as_secs()
    );
    Ok(())
}

fn progress(name: &str, started: Instant) {
    std::thread::sleep(Duration::from_millis(500));
    if std::io::stderr().is_terminal() {
        eprint!(
            "\rcontrol plane: {name} {} s \r",
            started.elapsed().as_secs()
        );
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
        for version in [KUBERNETES, OLDER] {
            for program in Program::ALL {
                let module = program.module(version);
                let tools = fs::read_to_string(module.join("tools.go")).expect("tools.go");
                assert!(
                    tools.contains(&format!("_ \"{}\"", program.package())),
                    "{}",
                    program.package()
                );
            }
            let module = Program::ApiServer.module(version).join("go.mod");
            let module = fs::read_to_string(module).expect("go.mod");
            assert!(
                module.contains(&format!("k8s.io/kubernetes {version}")),
                "{version} is not what go.mod pins"
            );
        }
    }

    #[test]
    fn the_older_version_is_looked_for_in_a_folder_of_its_own() {
        let cache = folder(&Program::ALL);
        let mut places = Places {
            assets: Some(cache.path().to_owned()),
            cache: cache.path().to_owned(),
            path: Vec::new(),
            chosen: OLDER,
        };
        assert_eq!(places.find(Program::ApiServer), None);
        assert!(places.find(Program::Etcd).is_some());
        let kept = places.cached(Program::ApiServer);
        fs::create_dir_all(kept.parent().expect("a folder")).expect("made");
        fs::write(&kept, "").expect("written");
        assert_eq!(places.find(Program::ApiServer), Some(kept));
        places.chosen = KUBERNETES;
        let present = cache.path().join("kube-apiserver");
        assert_eq!(places.find(Program::ApiServer), Some(present));
    }

    fn folder(programs: &[Program]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for program in programs {
            fs::write(folder.path().join(program.name()), "").expect("written");
        }
        folder
    }

    #[test]
    fn assets_come_before_the_cache_and_only_kubectl_from_the_path() {
        let assets = folder(&[Program::Etcd, Program::ApiServer]);
        let cache = folder(&[Program::Etcd, Program::Kwok]);
        let path = folder(&Program::ALL);
        let in_folder =
            |folder: &tempfile::TempDir, program: Program| folder.path().join(program.name());
        let mut places = Places {
            assets: Some(assets.path().to_owned()),
            cache: cache.path().to_owned(),
            path: vec![path.path().to_owned()],
            chosen: KUBERNETES,
        };
        let mut found = BTreeMap::new();
        let missing = places.find_all(&mut found);
        assert_eq!(missing, [Program::ControllerManager, Program::Scheduler]);
        let expected = [
            (Program::Etcd, in_folder(&assets, Program::Etcd)),
            (Program::ApiServer, in_folder(&assets, Program::ApiServer)),
            (Program::Kwok, in_folder(&cache, Program::Kwok)),
            (Program::Kubectl, in_folder(&path, Program::Kubectl)),
        ];
        assert_eq!(found, BTreeMap::from(expected));
        // Built meanwhile.
        fs::write(in_folder(&cache, Program::Kubectl), "").expect("written");
        assert_eq!(
            places.find(Program::Kubectl),
            Some(in_folder(&cache, Program::Kubectl))
        );
        places.assets = None;
        assert_eq!(
            places.find(Program::Etcd),
            Some(in_folder(&cache, Program::Etcd))
        );
        assert_eq!(places.find(Program::ApiServer), None);
    }

    #[test]
    fn a_second_build_waits_for_the_first() {
        let cache = folder(&[]);
        let first = lock(cache.path()).expect("locked");
        let (done, waits) = std::sync::mpsc::channel();
        let path = cache.path().to_owned();
        let second = std::thread::spawn(move || {
            let held = lock(&path).expect("locked");
            done.send(()).expect("somebody waits");
            drop(held);
        });
        assert!(
            waits.recv_timeout(Duration::from_millis(300)).is_err(),
            "both build at the same time"
        );
        drop(first);
        waits
            .recv_timeout(Duration::from_secs(10))
            .expect("the second goes on");
        second.join().expect("no panic");
    }
}
