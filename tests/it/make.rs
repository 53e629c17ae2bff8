//! What `make` says when something is not there.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
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

#[test]
fn an_image_needs_a_name_and_a_program_that_builds_it() {
    for (arguments, said) in [
        (&["image"][..], "IMAGE says"),
        (&["image", "IMAGE=x"], "docker is not there"),
        (
            &["image", "IMAGE=x", "ENGINE=podman"],
            "podman is not there",
        ),
    ] {
        let out = make(arguments);
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && errors.contains(said), "{errors}");
    }
}

#[test]
fn every_long_scenario_is_listed_and_others_are_refused_by_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let long = |argument: &str| {
        let out = Command::new(root.join("tests/long.sh"))
            .arg(argument)
            .output();
        out.expect("bash")
    };
    let listed = String::from_utf8(long("--list").stdout).expect("text");
    let tests = std::fs::read_to_string(root.join("tests/e2e/long.rs")).expect("a file");
    let scenarios = tests.matches("\nasync fn ").count() - 1;
    assert_eq!(listed.lines().count(), scenarios + 1, "{listed}");
    let all = listed
        .lines()
        .last()
        .expect("a line")
        .split_whitespace()
        .nth(1);
    let minutes: usize = all
        .and_then(|minutes| minutes.parse().ok())
        .expect("a number");
    assert!(minutes <= 75, "all take {minutes} minutes");
    let out = long("nothing");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("no long scenario \"nothing\"") && errors.contains("kills "),
        "{errors}"
    );
}
