//! Who else writes a workload: the controller that made it, or the delivery tool that would undo a rollback. Pure.
//!
//! A label that every chart carries is no proof; each rule names the marks that its tool sets, and what a copied mark
//! looks like.

use serde_json::Value;

/// An owner of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The tool, or the kind of the controller.
    pub tool: &'static str,
    /// The tool's name for what it delivers.
    pub name: String,
    /// When a change that is not in its source is undone.
    pub undone: &'static str,
}

const SOON: &str = "within seconds where it heals itself, else at its next sync";
const INTERVAL: &str = "at its next interval, minutes from now";
const RELEASE: &str = "at the next release";
const AT_ONCE: &str = "within seconds";
const NEXT_APPLY: &str = "the next time that it is applied";

/// The controller of a workload, as `Kind/name`: it writes the workload again whenever that differs from its own wish.
pub fn controller(object: &Value) -> Option<String> {
    let references = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let reference = references.iter().find(|it| it["controller"] == true)?;
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    Some(format!("{}/{}", text("kind"), text("name")))
}

/// The delivery tool that owns a workload; none when nothing proves one.
pub fn owner(object: &Value) -> Option<Owner> {
    let marks = Marks { object };
    let rules = [
        argo_cd,
        flux,
        fleet,
        helm,
        config_sync,
        kapp,
        apply_set,
        karmada,
        sveltos,
        kube_vela,
        open_cluster,
        olm,
    ];
    rules.into_iter().find_map(|rule| rule(&marks))
}

/// The labels, annotations and managers of a workload.
struct Marks<'v> {
    object: &'v Value,
}

impl<'v> Marks<'v> {
    fn metadata(&self, map: &str, key: &str) -> Option<&'v str> {
        let value = self.object["metadata"][map].get(key)?.as_str()?;
        Some(value).filter(|value| !value.is_empty())
    }

    fn label(&self, key: &str) -> Option<&'v str> {
        self.metadata("labels", key)
    }

    fn annotation(&self, key: &str) -> Option<&'v str> {
        self.metadata("annotations", key)
    }

    fn has_manager(&self, manager: &str) -> bool {
        let entries = self.object["metadata"]["managedFields"].as_array();
        entries.is_some_and(|all| all.iter().any(|entry| entry["manager"] == manager))
    }

    fn text(&self, pointer: &str) -> &'v str {
        self.object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn group(&self) -> &'v str {
        self.text("/apiVersion")
            .rsplit_once('/')
            .map_or("", |(group, _)| group)
    }
}

fn found(tool: &'static str, name: &str, undone: &'static str) -> Owner {
    let name = name.to_owned();
    Owner { tool, name, undone }
}

/// The tracking id is `app:group/Kind:namespace/name`; one of another object was copied.
fn argo_cd(marks: &Marks<'_>) -> Option<Owner> {
    let tracked = marks
        .annotation("argocd.argoproj.io/tracking-id")
        .and_then(|id| {
            let (app, of) = id.split_once(':')?;
            let [kind, namespace, name] =
                ["/kind", "/metadata/namespace", "/metadata/name"].map(|it| marks.text(it));
            let own = format!("{}/{kind}:{namespace}/{name}", marks.group());
            (of == own).then_some(app)
        });
    let labelled = marks.label("argocd.argoproj.io/instance").or_else(|| {
        let instance = marks.label("app.kubernetes.io/instance");
        instance.filter(|_| marks.has_manager("argocd-controller"))
    });
    Some(found("Argo CD", tracked.or(labelled)?, SOON))
}

fn flux(marks: &Marks<'_>) -> Option<Owner> {
    let off = marks.annotation("kustomize.toolkit.fluxcd.io/reconcile") == Some("disabled");
    if let Some(name) = marks
        .label("kustomize.toolkit.fluxcd.io/name")
        .filter(|_| !off)
    {
        return Some(found("Flux Kustomization", name, INTERVAL));
    }
    if let Some(name) = marks.label("helm.toolkit.fluxcd.io/name") {
        return Some(found(
            "Flux HelmRelease",
            name,
            "at the next release, or at its next interval where it detects drift",
        ));
    }
    Some(found(
        "Flux ResourceSet",
        marks.label("resourceset.fluxcd.controlplane.io/name")?,
        INTERVAL,
    ))
}

/// The add-ons of k3s have an id of the same name; theirs is empty, or of an Addon.
fn fleet(marks: &Marks<'_>) -> Option<Owner> {
    let id = marks.annotation("objectset.rio.cattle.io/id")?;
    let of = marks
        .annotation("objectset.rio.cattle.io/owner-gvk")
        .unwrap_or_default();
    if of.starts_with("k3s.cattle.io/") {
        return None;
    }
    Some(found("Fleet", id, INTERVAL))
}

/// The label alone is in templates that other tools render.
fn helm(marks: &Marks<'_>) -> Option<Owner> {
    let managed = marks.label("app.kubernetes.io/managed-by") == Some("Helm");
    Some(found(
        "Helm",
        marks
            .annotation("meta.helm.sh/release-name")
            .filter(|_| managed)?,
        RELEASE,
    ))
}

fn config_sync(marks: &Marks<'_>) -> Option<Owner> {
    let enabled = marks.annotation("configmanagement.gke.io/managed") == Some("enabled");
    let id = marks
        .annotation("configsync.gke.io/resource-id")
        .filter(|_| enabled)?;
    let kind = marks.text("/kind").to_lowercase();
    let [namespace, name] = ["/metadata/namespace", "/metadata/name"].map(|it| marks.text(it));
    let own = format!("{}_{kind}_{namespace}_{name}", marks.group());
    if id != own {
        return None;
    }
    Some(found("Config Sync", id, AT_ONCE))
}

fn kapp(marks: &Marks<'_>) -> Option<Owner> {
    let app = marks.label("kapp.k14s.io/app")?;
    marks.label("kapp.k14s.io/association")?;
    Some(found(
        "kapp",
        app,
        "the next time that it is deployed, or at the interval of kapp-controller",
    ))
}

fn apply_set(marks: &Marks<'_>) -> Option<Owner> {
    if marks.label("kro.run/owned") == Some("true") {
        let name = marks
            .label("kro.run/instance-name")
            .unwrap_or("an instance");
        return Some(found("kro", name, AT_ONCE));
    }
    Some(found(
        "ApplySet",
        marks.label("applyset.kubernetes.io/part-of")?,
        NEXT_APPLY,
    ))
}

fn karmada(marks: &Marks<'_>) -> Option<Owner> {
    let managed = marks.label("karmada.io/managed") == Some("true");
    if !managed {
        return None;
    }
    let name = marks
        .annotation("work.karmada.io/name")
        .unwrap_or("a Work of another cluster");
    Some(found("Karmada", name, AT_ONCE))
}

fn sveltos(marks: &Marks<'_>) -> Option<Owner> {
    let keys = [
        "projectsveltos.io/owner-name",
        "projectsveltos.io/reference-name",
    ];
    let name = keys
        .into_iter()
        .find_map(|key| marks.annotation(key).or_else(|| marks.label(key)));
    Some(found("Sveltos", name?, INTERVAL))
}

fn kube_vela(marks: &Marks<'_>) -> Option<Owner> {
    Some(found(
        "KubeVela",
        marks.label("app.oam.dev/name")?,
        "at its next reconciliation, minutes from now",
    ))
}

fn open_cluster(marks: &Marks<'_>) -> Option<Owner> {
    let references = marks
        .object
        .pointer("/metadata/ownerReferences")?
        .as_array()?;
    let work = references
        .iter()
        .find(|it| it["kind"] == "AppliedManifestWork")?;
    Some(found(
        "Open Cluster Management",
        work["name"].as_str().unwrap_or_default(),
        INTERVAL,
    ))
}

fn olm(marks: &Marks<'_>) -> Option<Owner> {
    Some(found("OLM", marks.label("olm.owner")?, AT_ONCE))
}

/// The marks by which tools find what they own. A workload that is restored under another owner must not carry them.
pub const TRACKING: &[&str] = &[
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/installation-id",
    "argocd.argoproj.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
    "helm.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/namespace",
    "resourceset.fluxcd.controlplane.io/name",
    "resourceset.fluxcd.controlplane.io/namespace",
    "objectset.rio.cattle.io/id",
    "objectset.rio.cattle.io/hash",
    "objectset.rio.cattle.io/owner-gvk",
    "objectset.rio.cattle.io/owner-name",
    "objectset.rio.cattle.io/owner-namespace",
    "objectset.rio.cattle.io/applied",
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "configmanagement.gke.io/managed",
    "configsync.gke.io/resource-id",
    "kapp.k14s.io/app",
    "kapp.k14s.io/association",
    "kapp.k14s.io/identity",
    "kapp.k14s.io/original",
    "applyset.kubernetes.io/part-of",
    "kro.run/owned",
    "karmada.io/managed",
    "projectsveltos.io/owner-name",
    "projectsveltos.io/reference-name",
    "app.oam.dev/name",
    "olm.owner",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Marks, and the owner that they prove; none where they only look like marks.
    const MARKS: &str = r#"
- {annotations: {argocd.argoproj.io/tracking-id: "search:apps/Deployment:ml/llama"}, owner: Argo CD search}
- {labels: {argocd.argoproj.io/instance: search}, owner: Argo CD search}
- {labels: {app.kubernetes.io/instance: search}, managedFields: [{manager: argocd-controller}], owner: Argo CD search}
- {labels: {kustomize.toolkit.fluxcd.io/name: apps}, owner: Flux Kustomization apps}
- {labels: {helm.toolkit.fluxcd.io/name: r}, owner: Flux HelmRelease r}
- {labels: {resourceset.fluxcd.controlplane.io/name: s}, owner: Flux ResourceSet s}
- {labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: r}, owner: Helm r}
- {labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: r, objectset.rio.cattle.io/id: b}, owner: Fleet b}
- {annotations: {configmanagement.gke.io/managed: enabled, configsync.gke.io/resource-id: apps_deployment_ml_llama}, owner: Config Sync apps_deployment_ml_llama}
- {labels: {kapp.k14s.io/app: "1", kapp.k14s.io/association: v1}, owner: kapp 1}
- {labels: {applyset.kubernetes.io/part-of: set}, owner: ApplySet set}
- {labels: {kro.run/owned: "true"}, owner: kro an instance}
- {labels: {karmada.io/managed: "true"}, owner: Karmada a Work of another cluster}
- {annotations: {projectsveltos.io/owner-name: p}, owner: Sveltos p}
- {labels: {projectsveltos.io/reference-name: p}, owner: Sveltos p}
- {labels: {app.oam.dev/name: shop}, owner: KubeVela shop}
- {ownerReferences: [{kind: AppliedManifestWork, name: w}], owner: Open Cluster Management w}
- {labels: {olm.owner: csv}, owner: OLM csv}
- {labels: {app.kubernetes.io/instance: search}}
- {annotations: {argocd.argoproj.io/tracking-id: "search:apps/Deployment:ml/other"}}
- {annotations: {argocd.argoproj.io/tracking-id: "search:/Deployment:ml/llama"}}
- {annotations: {argocd.argoproj.io/tracking-id: search}}
- {labels: {app.kubernetes.io/managed-by: Helm}}
- {annotations: {meta.helm.sh/release-name: r}}
- {labels: {kustomize.toolkit.fluxcd.io/name: a}, annotations: {kustomize.toolkit.fluxcd.io/reconcile: disabled}}
- {annotations: {objectset.rio.cattle.io/id: "", objectset.rio.cattle.io/owner-gvk: "k3s.cattle.io/v1, Kind=Addon"}}
- {annotations: {objectset.rio.cattle.io/id: x, objectset.rio.cattle.io/owner-gvk: "k3s.cattle.io/v1, Kind=Addon"}}
- {annotations: {configmanagement.gke.io/managed: enabled, configsync.gke.io/resource-id: apps_deployment_ml_other}}
- {annotations: {configmanagement.gke.io/managed: disabled, configsync.gke.io/resource-id: apps_deployment_ml_llama}}
- {labels: {kapp.k14s.io/app: "1"}}
- {labels: {karmada.io/managed: "false"}}
- {labels: {kro.run/owned: "false"}}
- {}
"#;

    #[test]
    fn each_tool_is_known_by_its_marks_and_marks_that_look_alike_prove_nothing() {
        let rows: Vec<Value> = serde_saphyr::from_str(MARKS).expect("YAML");
        for row in rows {
            let mut metadata = json!({"name": "llama", "namespace": "ml"});
            json_patch::merge(&mut metadata, &row);
            let object =
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata});
            let found = owner(&object).map(|owner| format!("{} {}", owner.tool, owner.name));
            assert_eq!(found.as_deref(), row["owner"].as_str(), "{row}");
        }
    }

    #[test]
    fn only_a_reference_that_says_so_is_a_controller() {
        let reference = |controller: Value| json!({"metadata": {"ownerReferences": [{"kind": "InferenceService", "name": "x", "controller": controller}]}});
        assert_eq!(
            controller(&reference(json!(true))).as_deref(),
            Some("InferenceService/x")
        );
        assert_eq!(controller(&reference(json!(null))), None);
        assert_eq!(controller(&json!({})), None);
    }
}
