//! The manifests: applied once and again, without a warning or a difference; removed without the history.

use super::guards::{self, Site};
use super::kubectl::{Said, apply, at, delete, diff, kubectl};
use crate::support::fixtures;
use devcluster::{Cluster, Options};

/// Does what README says under "Install", but for building the image.
fn install_as_readme_says(cluster: &Cluster) {
    let text = std::fs::read_to_string(at("README.md")).expect("a file");
    let section = text.split("\n## Install\n").nth(1).expect("a section");
    let section = section.split("\n## ").next().expect("its text");
    let yaml = section.split("```yaml\n").nth(1).expect("a kustomization");
    let yaml = yaml.split("```").next().expect("its text");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("kustomization.yaml"), yaml).expect("written");
    std::os::unix::fs::symlink(at(""), folder.path().join("revisor")).expect("a link");
    let commands: Vec<_> = section
        .lines()
        .filter_map(|line| line.strip_prefix("$ kubectl "))
        .map(|line| line.split('#').next().unwrap_or_default())
        .collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in commands {
        let mut kubectl = cluster.kubectl();
        kubectl
            .args(command.split_whitespace())
            .current_dir(folder.path());
        Said::from(kubectl.output().expect("kubectl")).quietly();
    }
    let image = ["-n", "revisor", "get", "deployment", "revisor", "-o"];
    let image = [
        &image[..],
        &["jsonpath={.spec.template.spec.containers[0].image}"],
    ]
    .concat();
    assert_eq!(
        kubectl(cluster, &image).quietly(),
        "registry.example.com/revisor:0.1.0"
    );
}

/// Every overlay, by folder.
fn overlays() -> Vec<String> {
    let entries = std::fs::read_dir(at("deploy/overlays")).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            format!("deploy/overlays/{}", name.to_str().expect("text"))
        })
        .collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    names
}

/// Applying a folder and the same again changes nothing any more, and nobody is warned.
fn assert_settles(cluster: &Cluster, folder: &str) {
    apply(cluster, folder).quietly();
    let said = diff(cluster, folder);
    assert!(
        said.code == 0 && said.out.is_empty() && said.errors.is_empty(),
        "{folder}: {said:?}"
    );
}

/// The certificate that a controller has put where the manifests have nothing stays.
fn assert_filled_objects_are_kept(cluster: &Cluster) {
    for (object, patch) in [
        ("secret/revisor-tls", r#"{"data": {"tls.crt": "eA=="}}"#),
        ("configmap/revisor-ca", r#"{"data": {"ca.crt": "x"}}"#),
    ] {
        let patched = [
            "-n",
            "revisor",
            "patch",
            object,
            "--type=merge",
            "-p",
            patch,
        ];
        kubectl(cluster, &patched).quietly();
    }
    apply(cluster, "deploy").quietly();
    let client_side = at("deploy").display().to_string();
    for object in ["secret/revisor-tls", "configmap/revisor-ca"] {
        let data = ["-n", "revisor", "get", object, "-o", "jsonpath={.data}"];
        let kept = kubectl(cluster, &data).quietly();
        assert!(kept.contains(".crt"), "{object}: {kept}");
    }
    let said = kubectl(cluster, &["diff", "--server-side", "-k", &client_side]);
    assert_eq!(said.code, 0, "{said:?}");
}

/// No policy has an expression that the types contradict.
fn assert_policies_are_typed(cluster: &Cluster) {
    let path = "jsonpath={range .items[*]}{.metadata.name} {.status.observedGeneration} {.status.typeChecking.expressionWarnings}{\"\\n\"}{end}";
    let list = || {
        let policies = ["get", "validatingadmissionpolicies", "-o", path];
        kubectl(cluster, &policies).quietly()
    };
    let checked = |text: &str| {
        let ours = text.lines().filter(|line| line.contains("revisor.dev"));
        ours.filter(|line| line.split_whitespace().count() >= 2)
            .count()
            == 2
    };
    let in_time =
        crate::support::eventually(std::time::Duration::from_secs(20), || checked(&list()));
    assert!(in_time, "{}", list());
    assert!(!list().contains("warning"), "{}", list());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_applies_everything_twice_and_removes_it_without_the_history() {
    let cluster = Cluster::start(&Options {
        controller_manager: true,
        // Deleting a namespace must not depend on the names of the controllers.
        one_account: true,
        ..Options::minimal()
    })
    .expect("a cluster");
    for file in ["cert-manager", "prometheus-operator"] {
        let file = fixtures().join(format!("crds/{file}.yaml"));
        let text = std::fs::read_to_string(file).expect("a fixture");
        cluster.apply(&text).expect("definitions");
    }
    install_as_readme_says(&cluster);
    for folder in ["crds", "deploy", "deploy/guard"] {
        assert_settles(&cluster, folder);
        apply(&cluster, folder).quietly();
    }
    assert_filled_objects_are_kept(&cluster);
    assert_policies_are_typed(&cluster);
    for overlay in overlays() {
        assert_settles(&cluster, &overlay);
    }
    // Overlays that were left again leave nothing behind in the objects of the base.
    assert_settles(&cluster, "deploy");

    let site = Site::new(&cluster).await;
    guards::hold(&site).await;
    guards::let_pass(&site).await;
    guards::let_namespaces_go(&site).await;
    remove(&site).await;
}

/// First the controller, then the definition: the second needs an annotation, whether the first is there or not.
async fn remove(site: &Site<'_>) {
    let cluster = site.cluster;
    let refuses = || {
        let said = delete(cluster, "crds");
        assert!(
            said.code != 0 && said.errors.contains("revisor.dev/delete-history"),
            "{said:?}"
        );
    };
    let before = site.names("kept").await;
    assert!(!before.is_empty());
    refuses();
    refuses();
    let said = delete(cluster, "deploy");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(site.names("kept").await, before);
    refuses();
    for collection in [
        "?fieldSelector=metadata.name=revisions.revisor.dev",
        "?labelSelector=!nothing",
    ] {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions{collection}");
        let (status, body) = site.as_admin("DELETE", &path, "").await;
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("deletes all recorded history"), "{body}");
    }
    assert_eq!(site.names("kept").await, before);
    let annotated = [
        "annotate",
        "crd/revisions.revisor.dev",
        "revisor.dev/delete-history=yes",
    ];
    kubectl(cluster, &annotated).quietly();
    let said = delete(cluster, "crds");
    assert_eq!(said.code, 0, "{said:?}");
}
