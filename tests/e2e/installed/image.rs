//! The image without a container engine: the commands of the Dockerfile one by one, and then its programs in a root that
//! holds only them and the libraries that they are linked to.

use super::kubectl::at;
use super::pod::{Root, libraries};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

/// The instructions of the Dockerfile, without comments.
fn instructions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(at("Dockerfile")).expect("a file");
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(word, rest)| (word.to_owned(), rest.to_owned()))
        .collect()
}

/// The rest of the only instruction with this word.
fn only(word: &str) -> String {
    let all = instructions();
    let mut found = all.iter().filter(|(one, _)| one == word);
    let first = found.next().unwrap_or_else(|| panic!("no {word}"));
    assert!(found.next().is_none(), "several {word}");
    first.1.clone()
}

/// Runs the command of the build stage, unoptimised, with another folder for its `/image`.
fn build(folder: &Path) {
    let image = folder.join("image").display().to_string();
    let command = only("RUN").replace("/image", &image);
    let out = Command::new("sh")
        .args(["-c", &command])
        .current_dir(at(""))
        .env("PROFILE", "dev")
        .output()
        .expect("sh");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

fn run(root: &Root, arguments: &[&str]) -> Output {
    let words: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let words = root.command(&words);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear();
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .output()
        .expect("chroot")
}

#[test]
fn the_programs_of_the_image_start_with_the_libraries_that_its_base_has() {
    let folder = tempfile::tempdir().expect("a folder");
    build(folder.path());
    let copies: Vec<_> = instructions();
    let copy = copies
        .iter()
        .find(|(word, rest)| word == "COPY" && rest.starts_with("--from"));
    let copy = &copy.expect("what the first stage made is copied").1;
    assert_eq!(copy, "--from=build /image/bin/ /usr/local/bin/");
    assert_eq!(only("ENTRYPOINT"), "[\"revisor\"]");
    assert_eq!(only("USER"), "65532:65532");
    let expected: BTreeSet<_> = std::fs::read_to_string(at("tests/fixtures/libraries.txt"))
        .expect("a list")
        .lines()
        .map(str::to_owned)
        .collect();
    let mut names = BTreeSet::new();
    for program in ["revisor", "kubectl-revisor"] {
        let file = folder.path().join("image/bin").join(program);
        for library in libraries(&file) {
            let name = library
                .file_name()
                .expect("a name")
                .to_str()
                .expect("text")
                .to_owned();
            // The loader is named after the architecture.
            let is_loader = name.starts_with("ld-linux");
            names.insert(if is_loader {
                "ld-linux".to_owned()
            } else {
                name
            });
        }
        let root = Root::with(&file);
        // The root calls its program by one name, whichever it is.
        let out = run(&root, &["revisor", "--version"]);
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(
            out.status.success() && said.contains(env!("CARGO_PKG_VERSION")),
            "{program}: {out:?}"
        );
        let shell = run(&root, &["sh", "-c", "true"]);
        assert!(
            !shell.status.success(),
            "there is more in the root than {program}"
        );
    }
    assert_eq!(names, expected, "tests/fixtures/libraries.txt");
}
