//! All kinds that are recorded: the built-in files and the user's own. Pure.

use super::file::KindFile;
use super::{GroupKind, Kind, KindError};
use std::sync::{Arc, OnceLock};

/// The built-in kind files, most used first.
const FILES: &[(&str, &str)] = &[
    ("deployment.yaml", include_str!("catalogue/deployment.yaml")),
    ("statefulset.yaml", include_str!("catalogue/statefulset.yaml")),
    ("inferenceservice.yaml", include_str!("catalogue/inferenceservice.yaml")),
    ("leaderworkerset.yaml", include_str!("catalogue/leaderworkerset.yaml")),
    ("llminferenceservice.yaml", include_str!("catalogue/llminferenceservice.yaml")),
    ("service.yaml", include_str!("catalogue/service.yaml")),
    ("rayservice.yaml", include_str!("catalogue/rayservice.yaml")),
    ("nimservice.yaml", include_str!("catalogue/nimservice.yaml")),
    ("dynamographdeployment.yaml", include_str!("catalogue/dynamographdeployment.yaml")),
    ("rollout.yaml", include_str!("catalogue/rollout.yaml")),
    ("inferenceworkload.yaml", include_str!("catalogue/inferenceworkload.yaml")),
];

/// The kinds that are recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    kinds: Vec<Arc<Kind>>,
}

impl Catalogue {
    /// The built-in kinds.
    ///
    /// # Panics
    /// Never: a test reads every built-in file.
    pub fn built_in() -> Self {
        // Compiling their programs takes a while.
        static BUILT_IN: OnceLock<Catalogue> = OnceLock::new();
        let parse = |(file, yaml): &(&str, &str)| {
            Arc::new(Kind::parse(file, yaml).expect("built-in kind files are tested"))
        };
        BUILT_IN.get_or_init(|| Self { kinds: FILES.iter().map(parse).collect() }).clone()
    }

    /// The built-in kinds, changed by the user's: one of the same group and kind replaces, others are added, and
    /// `disabled` ones (`Kind.group`) go.
    ///
    /// # Errors
    /// Names the file, the kind, the field and the value.
    pub(crate) fn with(file: &str, own: &[KindFile], disabled: &[String]) -> Result<Self, KindError> {
        let mut catalogue = Self::built_in();
        for (i, own) in own.iter().enumerate() {
            let fail = |message| KindError { file: format!("{file}: kinds[{i}] ({})", own.kind), message };
            let kind = own.validate().map_err(fail)?;
            catalogue.put(kind);
        }
        for name in disabled {
            let before = catalogue.kinds.len();
            catalogue.kinds.retain(|kind| kind.group_kind().to_string() != *name);
            if catalogue.kinds.len() == before {
                let known: Vec<_> = catalogue.kinds.iter().map(|k| k.group_kind().to_string()).collect();
                let message =
                    format!("disabledKinds: {name:?} is not a known kind (known: {})", known.join(", "));
                return Err(KindError { file: file.to_owned(), message });
            }
        }
        Ok(catalogue)
    }

    fn put(&mut self, kind: Kind) {
        match self.kinds.iter_mut().find(|k| k.group_kind() == kind.group_kind()) {
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
        self.kinds.iter().any(|k| k.kind == kind.kind && k.group == kind.group)
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
        for (kind, (file, _)) in Catalogue::built_in().kinds().iter().zip(FILES) {
            assert_eq!(format!("{}.yaml", kind.kind.to_lowercase()), *file);
        }
    }

    #[test]
    fn own_kinds_are_added_replaced_and_disabled() {
        let own = [
            file("kind: Deployment\ngroup: apps\nversions: [v1]\nplural: deployments\nselect: always\n"),
            file("kind: Thing\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\n"),
        ];
        let catalogue = Catalogue::with("c", &own, &["StatefulSet.apps".into()]).expect("valid");
        let names: Vec<_> = catalogue.kinds().iter().map(|k| k.group_kind().to_string()).collect();
        let mut expected: Vec<_> =
            Catalogue::built_in().kinds().iter().map(|k| k.group_kind().to_string()).collect();
        expected.retain(|name| name != "StatefulSet.apps");
        expected.push("Thing.a.b".to_owned());
        assert_eq!(names, expected);
        assert_eq!(catalogue.kinds()[0].select, crate::kinds::Select::Always);
    }

    #[test]
    fn mistakes_are_named() {
        let bad = file("kind: Thing\nversions: []\nplural: things\nselect: always\n");
        let error = Catalogue::with("c.yaml", &[bad], &[]).expect_err("no versions").to_string();
        assert_eq!(error, "c.yaml: kinds[0] (Thing): versions: needs at least one version");
        let error = Catalogue::with("c.yaml", &[], &["Foo".into()]).expect_err("unknown").to_string();
        assert!(error.contains("disabledKinds: \"Foo\" is not a known kind"), "{error}");
    }
}
