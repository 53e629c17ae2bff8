//! `benches/compare.sh`, and `tests/commit.sh` which it calls, in a small repository with a `cargo` that only notes how
//! it is called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A clone with the script, and what stands in for cargo.
struct Clone {
    folder: tempfile::TempDir,
}

impl Clone {
    /// One commit, of a package that cannot be built.
    fn new() -> Self {
        let clone = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let root = clone.root();
        for script in ["benches/compare.sh", "tests/commit.sh"] {
            let copy = root.join(script);
            fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
            let original = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
            fs::copy(original, copy).expect("copied");
        }
        fs::write(root.join("Cargo.toml"), "[package]\n").expect("written");
        fs::write(root.join(".gitignore"), "/target/\n").expect("written");
        clone.git(&["init", "--quiet"]);
        clone.git(&["add", "--all"]);
        clone.git(&["commit", "--quiet", "--message=one"]);
        clone
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    /// Runs git, by nobody's settings.
    fn git(&self, arguments: &[&str]) -> String {
        let out = Command::new("git")
            .args(["-c", "user.name=x", "-c", "user.email=x@example.com"])
            .args(arguments)
            .current_dir(self.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env_remove("GIT_DIR")
            .output()
            .expect("git");
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(out.stdout).expect("text")
    }

    /// Runs the script with a cargo whose builds do as told.
    fn compare(&self, reference: &str, build: &str) -> Output {
        let programs = self.folder.path().join("programs");
        fs::create_dir_all(&programs).expect("a folder");
        let cargo = programs.join("cargo");
        let target = self.root().join("target").display().to_string();
        let text = format!(
            "#!/bin/bash\necho \"$1 $PWD\" >>'{calls}'\ncase $1 in metadata) echo '{{\"target_directory\":\"{target}\"}}';; build) {build};; esac\n",
            calls = self.calls().display()
        );
        fs::write(&cargo, text).expect("written");
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("executable");
        let path = std::env::var("PATH").expect("a PATH");
        Command::new(self.root().join("benches/compare.sh"))
            .arg(reference)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env_remove("GIT_DIR")
            .output()
            .expect("bash")
    }

    fn calls(&self) -> PathBuf {
        self.folder.path().join("calls")
    }

    fn worktrees(&self) -> usize {
        self.git(&["worktree", "list"]).lines().count()
    }
}

fn assert_refused(out: &Output, why: &str) {
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{errors}");
    assert!(errors.contains(why), "{errors}");
}

#[test]
fn a_commit_that_is_not_there_is_told_before_anything_is_built() {
    let clone = Clone::new();
    let out = clone.compare("nothing", "true");
    assert_refused(&out, "nothing: no commit of this clone has that name");
    let out = clone.compare("--all", "true");
    assert_refused(&out, "no commit of this clone has that name");
    clone.git(&["commit", "--quiet", "--allow-empty", "--message=two"]);
    let whole = clone.root().with_file_name("whole");
    fs::rename(clone.root(), &whole).expect("renamed");
    let url = format!("file://{}", whole.display());
    let copied = Command::new("git")
        .args(["clone", "--quiet", "--depth=1", &url])
        .arg(clone.root())
        .status();
    assert!(copied.expect("git").success());
    let out = clone.compare("HEAD~1", "true");
    assert_refused(&out, "this clone is shallow");
    fs::remove_dir_all(clone.root().join(".git")).expect("removed");
    let out = clone.compare("HEAD", "true");
    assert_refused(&out, "this folder is no clone");
    assert!(!clone.calls().exists(), "something was built");
}

#[test]
fn a_commit_that_cannot_be_built_is_told_and_leaves_no_worktree() {
    let clone = Clone::new();
    let out = clone.compare("HEAD", "exit 101");
    assert_refused(&out, "could not be built");
    assert_eq!(clone.worktrees(), 1);
    let calls = fs::read_to_string(clone.calls()).expect("calls");
    let verbs: Vec<_> = calls.lines().map(|line| &line[..5]).collect();
    assert_eq!(verbs, ["metad", "clean", "build"], "{calls}");
}

#[test]
fn a_commit_is_built_once_in_a_worktree_that_goes_again() {
    let clone = Clone::new();
    let build = "mkdir -p \"$CARGO_TARGET_DIR/release\"; echo >\"$CARGO_TARGET_DIR/release/revisor\"; chmod +x \"$CARGO_TARGET_DIR/release/revisor\"";
    for builds in [2, 3] {
        let out = clone.compare("HEAD", build);
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{errors}");
        let calls = fs::read_to_string(clone.calls()).expect("calls");
        let built = calls.lines().filter(|line| line.starts_with("build "));
        assert_eq!(built.count(), builds, "{calls}");
        assert_eq!(clone.worktrees(), 1);
    }
}
