//! All kinds that are recorded: the built-in files and the user's own. Pure.

use super::file::KindFile;
use super::select::Scope;
use super::{GroupKind, Hardware, Kind, KindError};
use std::sync::{Arc, OnceLock};

/// The built-in kind files, most used first.
const FILES: &[(&str, &str)] = &[
    ("deployment.yaml", include_str!("catalogue/deployment.yaml")),
    (
        "statefulset.yaml",
        include_str!("catalogue/statefulset.yaml"),
    ),
    (
        "inferenceservice.yaml",
        include_str!("catalogue/inferenceservice.yaml"),
    ),
    (
        "leaderworkerset.yaml",
        include_str!("catalogue/leaderworkerset.yaml"),
    ),
    (
        "llminferenceservice.yaml",
        include_str!("catalogue/llminferenceservice.yaml"),
    ),
    ("service.yaml", include_str!("catalogue/service.yaml")),
    ("rayservice.yaml", include_str!("catalogue/rayservice.yaml")),
    ("nimservice.yaml", include_str!("catalogue/nimservice.yaml")),
    (
        "dynamographdeployment.yaml",
        include_str!("catalogue/dynamographdeployment.yaml"),
    ),
    ("rollout.yaml", include_str!("catalogue/rollout.yaml")),
    (
        "inferenceworkload.yaml",
        include_str!("catalogue/inferenceworkload.yaml"),
    ),
    ("daemonset.yaml", include_str!("catalogue/daemonset.yaml")),
    (
        "disaggregatedset.yaml",
        include_str!("catalogue/disaggregatedset.yaml"),
    ),
    ("raycluster.yaml", include_str!("catalogue/raycluster.yaml")),
    (
        "stormservice.yaml",
        include_str!("catalogue/stormservice.yaml"),
    ),
    ("workspace.yaml", include_str!("catalogue/workspace.yaml")),
    (
        "inferenceset.yaml",
        include_str!("catalogue/inferenceset.yaml"),
    ),
];

/// The kinds that are recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    kinds: Vec<Arc<Kind>>,
    scope: Scope,
}

impl Catalogue {
    /// The built-in kinds.
    ///
    /// # Panics
    /// Never: a test reads every built-in file.
    pub fn built_in() -> Self {
        // A test compiles their programs; here that would take most of the time of a start.
        static BUILT_IN: OnceLock<Catalogue> = OnceLock::new();
        BUILT_IN
            .get_or_init(|| Self {
                kinds: FILES
                    .iter()
                    .map(|(file, yaml)| Kind::parse_unchecked(file, yaml))
                    .map(|kind| Arc::new(kind.expect("built-in kind files are tested")))
                    .collect(),
                scope: Scope::default(),
            })
            .clone()
    }

    /// The built-in kinds, changed by the user's: one of the same group and kind replaces, others are added, and
    /// `disabled` ones (`Kind.group`) go. What belongs to objects of a disabled kind is then a part of nothing.
    ///
    /// # Errors
    /// Names the file, the kind, the field and the value.
    pub(crate) fn with(
        file: &str,
        own: &[KindFile],
        disabled: &[String],
    ) -> Result<Self, KindError> {
        let mut catalogue = Self::built_in();
        for (i, own) in own.iter().enumerate() {
            let kind = own.validate().map_err(|message| {
                KindError::new(&format!("{file}: kinds[{i}] ({})", own.kind), message)
            })?;
            catalogue.put(kind);
        }
        for name in disabled {
            catalogue
                .disable(name)
                .map_err(|message| KindError::new(file, message))?;
        }
        catalogue.forget(disabled);
        Ok(catalogue)
    }

    /// The same kinds, with this knowledge of accelerators and node pools.
    #[must_use]
    pub fn knowing(mut self, hardware: &Hardware) -> Self {
        for kind in &mut self.kinds {
            if kind.hardware != *hardware {
                let kind = Arc::make_mut(kind);
                kind.hardware = hardware.clone();
                if let Some(view) = &mut kind.view {
                    view.hardware = hardware.clone();
                }
            }
        }
        self
    }

    /// The same kinds, of which fewer objects may be recorded.
    #[must_use]
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Which objects are recorded, beside what the files of their kinds say.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The knowledge of accelerators and node pools that all kinds share.
    pub fn hardware(&self) -> Hardware {
        let first = self.kinds.first();
        first.map_or_else(Hardware::default, |kind| kind.hardware.clone())
    }

    fn disable(&mut self, name: &str) -> Result<(), String> {
        let before = self.kinds.len();
        self.kinds
            .retain(|kind| kind.group_kind().to_string() != name);
        if self.kinds.len() < before {
            return Ok(());
        }
        let known: Vec<_> = self
            .kinds
            .iter()
            .map(|kind| kind.group_kind().to_string())
            .collect();
        Err(format!(
            "disabledKinds: {name:?} is not a known kind (known: {})",
            known.join(", ")
        ))
    }

    /// What belongs to a disabled kind, or stands below one that is not recorded, is a part of nothing.
    fn forget(&mut self, disabled: &[String]) {
        let all = self.clone();
        for kind in &mut self.kinds {
            let kept: Vec<_> = kind
                .owned_by
                .iter()
                .filter(|owner| !disabled.contains(&owner.to_string()))
                .filter(|owner| all.is_rooted(owner, &kind.part_of))
                .cloned()
                .collect();
            if kept.len() < kind.owned_by.len() {
                Arc::make_mut(kind).owned_by = kept;
            }
        }
    }

    /// Whether an owner stands below nothing, or below a kind that is recorded.
    fn is_rooted(&self, owner: &GroupKind, part_of: &[(GroupKind, GroupKind)]) -> bool {
        let mut roots = part_of
            .iter()
            .filter(|(part, _)| part == owner)
            .map(|(_, root)| root)
            .peekable();
        roots.peek().is_none() || roots.any(|root| self.has(root))
    }

    fn put(&mut self, kind: Kind) {
        match self
            .kinds
            .iter_mut()
            .find(|k| k.group_kind() == kind.group_kind())
        {
            Some(present) => *present = Arc::new(kind),
            None => self.kinds.push(Arc::new(kind)),
        }
    }

    /// All kinds.
    pub fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// Whether this kind is recorded.
    pub fn has(&self, kind: &GroupKind) -> bool {
        self.kinds
            .iter()
            .any(|k| k.kind == kind.kind && k.group == kind.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(yaml: &str) -> KindFile {
        serde_saphyr::from_str(yaml).expect("yaml")
    }

    #[test]
    fn every_built_in_file_is_valid_and_named_after_its_kind() {
        for (kind, (file, yaml)) in Catalogue::built_in().kinds().iter().zip(FILES) {
            Kind::parse(file, yaml).expect("programs that can be compiled");
            assert_eq!(format!("{}.yaml", kind.kind.to_lowercase()), *file);
        }
    }

    #[test]
    fn own_kinds_are_added_replaced_and_disabled() {
        let own = [
            file(
                "kind: Deployment\ngroup: apps\nversions: [v1]\nplural: deployments\nselect: always\n",
            ),
            file("kind: Thing\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\n"),
        ];
        let catalogue = Catalogue::with("c", &own, &["StatefulSet.apps".into()]).expect("valid");
        let names: Vec<_> = catalogue
            .kinds()
            .iter()
            .map(|k| k.group_kind().to_string())
            .collect();
        let mut expected: Vec<_> = Catalogue::built_in()
            .kinds()
            .iter()
            .map(|k| k.group_kind().to_string())
            .collect();
        expected.retain(|name| name != "StatefulSet.apps");
        expected.push("Thing.a.b".to_owned());
        assert_eq!(names, expected);
        assert_eq!(catalogue.kinds()[0].select, crate::kinds::Select::Always);
    }

    fn named(text: &str) -> GroupKind {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        GroupKind {
            kind: kind.to_owned(),
            group: group.to_owned(),
        }
    }

    fn is_part(catalogue: &Catalogue, kind: &str, controller: &str) -> bool {
        let kind = catalogue
            .kinds()
            .iter()
            .find(|k| k.group_kind() == named(kind))
            .expect("known");
        let controller = named(controller);
        kind.owned_by.contains(&controller) || catalogue.has(&controller)
    }

    /// Controllers that no kind file records and that stand below one that is recorded: Knative's Revision below its
    /// Service, Dynamo's component below its graph, the leader's Pod below a LeaderWorkerSet.
    const INTERMEDIATES: &[(&str, &str)] = &[
        (
            "Revision.serving.knative.dev",
            "Service.serving.knative.dev",
        ),
        (
            "DynamoComponentDeployment.nvidia.com",
            "DynamoGraphDeployment.nvidia.com",
        ),
        ("Pod", "LeaderWorkerSet.leaderworkerset.x-k8s.io"),
    ];

    /// A kind, a controller, and whether an object of the kind with that controller is a part of what is recorded.
    const OWNERS: &[(&str, &str, bool)] = &[
        (
            "NIMService.apps.nvidia.com",
            "NIMPipeline.apps.nvidia.com",
            false,
        ),
        (
            "DynamoGraphDeployment.nvidia.com",
            "DynamoGraphDeploymentRequest.nvidia.com",
            false,
        ),
        (
            "LeaderWorkerSet.leaderworkerset.x-k8s.io",
            "DisaggregatedSet.disaggregatedset.x-k8s.io",
            true,
        ),
        (
            "LeaderWorkerSet.leaderworkerset.x-k8s.io",
            "DistributedInferenceWorkload.run.ai",
            false,
        ),
        (
            "Deployment.apps",
            "SeldonDeployment.machinelearning.seldon.io",
            false,
        ),
        (
            "Deployment.apps",
            "VLLMRuntime.production-stack.vllm.ai",
            false,
        ),
        ("Deployment.apps", "ServingRuntime.serving.kserve.io", false),
        (
            "Service.serving.knative.dev",
            "InferenceGraph.serving.kserve.io",
            false,
        ),
        ("Deployment.apps", "Revision.serving.knative.dev", true),
        (
            "Deployment.apps",
            "DynamoComponentDeployment.nvidia.com",
            true,
        ),
        (
            "Deployment.apps",
            "InferenceService.serving.kserve.io",
            true,
        ),
        (
            "LeaderWorkerSet.leaderworkerset.x-k8s.io",
            "NIMService.apps.nvidia.com",
            true,
        ),
        ("StatefulSet.apps", "Pod", true),
    ];

    /// Objects of this owner serve nothing.
    const BATCH: &str = "RayJob.ray.io";

    #[test]
    fn an_owner_is_recorded_or_stands_below_what_is() {
        let catalogue = Catalogue::built_in();
        for kind in catalogue.kinds() {
            for owner in kind.owned_by.iter().filter(|owner| !catalogue.has(owner)) {
                let root = kind
                    .part_of
                    .iter()
                    .find(|(part, _)| part == owner)
                    .map(|(_, root)| root);
                let Some(root) = root else {
                    assert_eq!(owner.to_string(), BATCH, "nothing recorded above it");
                    continue;
                };
                let pair = (owner.to_string(), root.to_string());
                let listed = INTERMEDIATES
                    .iter()
                    .any(|(kind, root)| (*kind, *root) == (&*pair.0, &*pair.1));
                assert!(listed && catalogue.has(root), "{pair:?}");
            }
        }
    }

    #[test]
    fn a_part_belongs_to_an_owner_that_is_recorded() {
        let catalogue = Catalogue::built_in();
        for (kind, controller, part) in OWNERS {
            assert_eq!(
                is_part(&catalogue, kind, controller),
                *part,
                "{kind} of {controller}"
            );
        }
    }

    #[test]
    fn what_belongs_to_a_disabled_kind_is_recorded_itself() {
        let own = [file(
            "kind: Thing\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\n\
             ownedBy: [Service.serving.knative.dev, Other.c.d]\n",
        )];
        for (disabled, kind, controller) in [
            (
                "InferenceService.serving.kserve.io",
                "Deployment.apps",
                "InferenceService.serving.kserve.io",
            ),
            (
                "Service.serving.knative.dev",
                "Deployment.apps",
                "Revision.serving.knative.dev",
            ),
            (
                "Service.serving.knative.dev",
                "Thing.a.b",
                "Service.serving.knative.dev",
            ),
            (
                "LeaderWorkerSet.leaderworkerset.x-k8s.io",
                "StatefulSet.apps",
                "Pod",
            ),
        ] {
            let of = |disabled: &[String]| Catalogue::with("c", &own, disabled).expect("valid");
            assert!(is_part(&of(&[]), kind, controller), "{controller}");
            assert!(
                !is_part(&of(&[disabled.to_owned()]), kind, controller),
                "{controller} without {disabled}"
            );
            assert!(is_part(&of(&[]), "Thing.a.b", "Other.c.d"));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let bad = file("kind: Thing\nversions: []\nplural: things\nselect: always\n");
        let error = Catalogue::with("c.yaml", &[bad], &[])
            .expect_err("no versions")
            .to_string();
        assert_eq!(
            error,
            "c.yaml: kinds[0] (Thing): versions: needs at least one version"
        );
        let error = Catalogue::with("c.yaml", &[], &["Foo".into()])
            .expect_err("unknown")
            .to_string();
        assert!(
            error.contains("disabledKinds: \"Foo\" is not a known kind"),
            "{error}"
        );
    }
}
