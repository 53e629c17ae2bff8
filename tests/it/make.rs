//! What `make` says when something is not there.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The file of a program on the PATH.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(name));
    files.find(|file| file.is_file()).expect("it is there")
}

/// `make` where nothing else is installed.
fn make(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    symlink(program("make"), folder.path().join("make")).expect("a link");
    let mut make = Command::new(program("make"));
    make.args(["--silent", "-C", env!("CARGO_MANIFEST_DIR")])
        .args(arguments);
    make.env("PATH", folder.path())
        .env_remove("SKIP_DENY")
        .env_remove("MAKEFLAGS")
        .output()
        .expect("make")
}

#[test]
fn checks_that_cannot_be_made_fail_unless_they_are_left_out_by_name() {
    let out = make(&["deny"]);
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        !out.status.success() && errors.contains("cargo install --locked cargo-deny"),
        "{errors}"
    );
    let out = make(&["deny", "SKIP_DENY=1"]);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(String::from_utf8_lossy(&out.stderr).contains("not checked"));
}
