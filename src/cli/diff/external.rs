//! A program of the user's that shows differences: `KUBECTL_EXTERNAL_DIFF`, as kubectl runs it.
//!
//! It is given two folders with one file each, and its exit code counts.

use anyhow::{Context, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that names the program.
const VARIABLE: &str = "KUBECTL_EXTERNAL_DIFF";

/// The program and its arguments; none when none is named.
pub(super) fn program() -> Option<String> {
    std::env::var(VARIABLE)
        .ok()
        .filter(|program| !program.trim().is_empty())
}

/// Runs the program on two states. Its exit code: 0 when they are equal, 1 when they differ.
pub(super) fn run(program: &str, sides: [(&str, String); 2]) -> anyhow::Result<u8> {
    // Nobody else may read it: with --show-secrets the files hold them.
    let folder = tempfile::Builder::new()
        .prefix("kubectl-revisor-")
        .tempdir()
        .context("a folder for the two states")?;
    let mut paths = Vec::new();
    for (number, (title, yaml)) in sides.into_iter().enumerate() {
        paths.push(write(folder.path(), number, title, &yaml)?);
    }
    let words = shell_words::split(program).with_context(|| format!("{VARIABLE}={program:?}"))?;
    let Some((name, arguments)) = words.split_first() else {
        bail!("{VARIABLE} is empty");
    };
    let status = Command::new(name)
        .args(arguments)
        .args(&paths)
        .status()
        .with_context(|| format!("{VARIABLE}={program:?} cannot be run"))?;
    match status.code() {
        Some(code @ (0 | 1)) => Ok(u8::try_from(code).unwrap_or(1)),
        Some(code) => bail!("{VARIABLE}={program:?} ended with {code}"),
        None => bail!("{VARIABLE}={program:?} was killed"),
    }
}

fn write(folder: &Path, number: usize, title: &str, yaml: &str) -> anyhow::Result<PathBuf> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let name: String = title
        .chars()
        .map(|c| if is_plain(c) { c } else { '-' })
        .collect();
    let side = folder.join(format!("{}-{name}", ["A", "B"][number]));
    fs::create_dir(&side)?;
    fs::write(side.join("workload.yaml"), yaml)?;
    Ok(side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_the_program_counts_and_failures_are_named() {
        let sides = || {
            [
                ("revision 1", "a: 1\n".to_owned()),
                ("live (2)", "a: 2\n".to_owned()),
            ]
        };
        assert_eq!(run("sh -c 'exit 0'", sides()).expect("equal"), 0);
        assert_eq!(run("sh -c 'exit 1'", sides()).expect("different"), 1);
        let compare = "sh -c '! cmp -s \"$0/workload.yaml\" \"$1/workload.yaml\"'";
        assert_eq!(run(compare, sides()).expect("both files are there"), 0);
        for (program, why) in [
            ("sh -c 'exit 3'", "ended with 3"),
            ("/nowhere/diff", "cannot be run"),
            ("'", "KUBECTL_EXTERNAL_DIFF"),
        ] {
            let error = format!("{:#}", run(program, sides()).expect_err(program));
            assert!(error.contains(why), "{error}");
        }
    }
}
