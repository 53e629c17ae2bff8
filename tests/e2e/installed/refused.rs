//! Wrong configurations: each ends the process with an error that names the field and its value.

use crate::support::{World, command, eventually};
use devcluster::Options;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

/// The definition of an earlier release.
const FIRST_CRD: &str = include_str!("../../fixtures/first-release/revisions-crd.yaml");

/// Runs `revisor run` with flags that it has to refuse.
fn refused(kubeconfig: &str, flags: &[&str]) -> (i32, String) {
    let ports = ["--admin-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let mut all = vec!["run", "--kubeconfig", kubeconfig];
    for pair in ports.chunks(2).filter(|pair| !flags.contains(&pair[0])) {
        all.extend(pair);
    }
    all.extend(flags);
    let Output { status, stderr, .. } = command(&all);
    let text = String::from_utf8(stderr).expect("text");
    (status.code().expect("no signal"), text)
}

/// The path of a file with this content.
fn written(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("written");
    file.display().to_string()
}

/// Flags, and the parts of the error that they lead to.
type Wrong<'a> = (&'a [&'a str], &'a [&'a str]);

fn assert_refused(wrong: &[Wrong<'_>]) {
    let kubeconfig = crate::support::world().cluster.kubeconfig();
    for (flags, named) in wrong {
        let (code, text) = refused(&kubeconfig.display().to_string(), flags);
        assert!(code == 1 || code == 2, "{flags:?}: {code} {text}");
        for part in *named {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }
}

#[test]
fn wrong_files_are_refused_by_field_and_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| written(folder.path(), name, text);
    let kind = "kinds: [{kind: Thing, group: a.b, versions: [v1], plural: things, select: always, ";
    let unknown = file("unknown.yaml", "autoscaler: [keda]\n");
    let typed = file("typed.yaml", "rest:\n  tenantId: seven\n");
    let disabled = file("disabled.yaml", "disabledKinds: [Pod]\n");
    let jq = file(
        "jq.yaml",
        &format!("{kind}view: {{components: '.spec | nonsense('}}}}]\n"),
    );
    let pattern = file("pattern.yaml", "redaction: {secretNames: [\"**\"]}\n");
    let no_pem = file("tls.crt", "not PEM");
    assert_refused(&[
        (
            &["--config", &unknown][..],
            &["unknown.yaml", "autoscaler"][..],
        ),
        (&["--config", &typed], &["typed.yaml", "seven"]),
        (&["--config", &disabled], &["disabled.yaml", "Pod"]),
        (&["--config", &jq], &["jq.yaml", "Thing", "view.components"]),
        (
            &["--config", &pattern],
            &["pattern.yaml", "secretNames", "**"],
        ),
        (&["--config", "/not/there.yaml"], &["/not/there.yaml"]),
        (
            &[
                "--tls-cert-file",
                "/not/there.crt",
                "--tls-key-file",
                "/not/there.key",
            ],
            &["/not/there.crt"],
        ),
        (
            &["--tls-cert-file", &no_pem, "--tls-key-file", &no_pem],
            &["tls.crt", "no certificate"],
        ),
    ]);
    let (code, text) = refused("/not/there", &[]);
    assert!(code == 1 && text.contains("/not/there"), "{text}");
}

#[test]
fn wrong_flags_are_refused_by_name_and_value() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    assert_refused(&[
        (
            &["--admin-listen", &taken],
            &["--admin-listen", &taken, "in use"],
        ),
        (&["--listen", &taken], &["--listen", &taken, "in use"]),
        (
            &["--health-listen", "0.0.0.0:1"],
            &["--health-listen", "0.0.0.0:1"],
        ),
        (&["--queue-bytes", "8MB"], &["--queue-bytes", "8MB"]),
        (&["--certificate-life", "1y"], &["--certificate-life", "1y"]),
        (
            &["--ca-config-map", "ca"],
            &["--ca-config-map ca", "--tls-secret"],
        ),
        (
            &["--plain-http", "--tls-secret", "x"],
            &["--plain-http", "--tls-secret"],
        ),
        (
            &["--insecure-no-auth", "--listen", "0.0.0.0:0"],
            &["--insecure-no-auth", "0.0.0.0:0"],
        ),
        (
            &["--cors-allowed-origin", "*"],
            &["--cors-allowed-origin", "*"],
        ),
        (&["--log", "loud=extremely"], &["--log", "loud=extremely"]),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_definition_is_named_with_the_fields_that_it_lacks() {
    let own = World::start(&Options::minimal());
    own.cluster.apply(FIRST_CRD).expect("a definition");
    let kubeconfig = own.cluster.kubeconfig().display().to_string();
    // The API server serves the new schema a moment after it took it.
    let is_refused = || {
        let client = own
            .cluster
            .kubectl()
            .args(["explain", "revision.status.workloadEndUnknown"])
            .output();
        client.is_ok_and(|out| !out.status.success())
    };
    assert!(eventually(Duration::from_secs(20), is_refused));
    let (code, text) = refused(&kubeconfig, &[]);
    assert_eq!(code, 1, "{text}");
    for part in [
        "revisions.revisor.dev is older",
        "status.workloadEndUnknown",
        "crds/",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
