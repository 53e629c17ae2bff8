//! Kinds are data: one YAML file says how a kind of workload is found, selected, compared and shown. Pure.
//!
//! The files of `kinds/catalogue/` are built in; the same format in the user's configuration adds to them, replaces
//! one, or switches one off. Adding a kind is adding a file.

mod catalogue;
mod code;
mod file;
mod hardware;
mod extent;
mod jq;
mod live;
mod names;
mod path;
pub mod runner;
pub mod select;

pub use catalogue::Catalogue;
pub use code::Code;
pub use file::KindError;
pub(crate) use file::KindFile;
pub use hardware::{GPU_MEMORY, GpuResource, Hardware};
pub use jq::{JqFailure, JqObject, Program, Shape};
pub(crate) use names::is_label_key;
pub use path::Path;

use std::collections::BTreeMap;
use std::time::Duration;

/// How one kind of workload is found, selected, compared and shown. Validated; see the file format in `file.rs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// Kind, for example InferenceService.
    pub kind: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Versions by preference: the first that the API server offers is watched.
    pub versions: Vec<String>,
    /// Plural, lower-case name.
    pub plural: String,
    /// Controllers whose objects of this kind are parts of something that is recorded itself.
    pub owned_by: Vec<GroupKind>,
    /// Which of those are not recorded themselves, and the recorded kind that they are a part of: they count only while
    /// that is recorded.
    pub part_of: Vec<(GroupKind, GroupKind)>,
    /// Which objects are recorded.
    pub select: Select,
    /// Where an autoscaler writes.
    pub replicas: Vec<Path>,
    /// Values that mean the same as no value.
    pub absent: Vec<Absent>,
    /// Where the pod specs are.
    pub pod_specs: Vec<Path>,
    /// Where single containers are that stand outside a pod spec.
    pub containers: Vec<Path>,
    /// How the rest of the view is found; none for a kind of which only changes and images are shown.
    pub view: Option<ViewFile>,
    /// Which pods are a workload's.
    pub pods: PodsFile,
    /// Where the status says which generation it speaks of; none where it does not, or cannot be trusted.
    pub observed_generation: Option<Path>,
    /// What the workload's status says that its pods cannot; the first that matches counts.
    pub phases: Vec<PhaseRule>,
    /// The accelerators and node pools that are known.
    pub hardware: Hardware,
    /// A rollout without progress for so long has failed; none where the workload's own controller judges that.
    pub progress_deadline: Option<Duration>,
}

/// Which pods are a workload's, and how those of its generations are told apart.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PodsFile {
    /// All of these labels; without any, only who owns a pod tells.
    pub labels: Vec<(String, PodLabel)>,
    /// Labels that differ between generations; the first that a pod has counts.
    pub revision_key: Vec<String>,
    /// Label that names the component.
    pub component: Option<String>,
    /// Names of components, by values of that label which are no names of components themselves.
    pub component_names: BTreeMap<String, String>,
    /// Gives the key of the pods of the newest generation, once the workload's controller has seen that.
    pub current: Option<Program>,
    /// Gives the keys of the pods that serve, whatever is newer.
    pub serving: Option<Program>,
}

/// What a label of a pod has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodLabel {
    /// The name of the workload.
    Name,
    /// There.
    Any,
    /// This.
    Is(String),
}

impl PodLabel {
    /// The part of a label selector that asks for it.
    fn term(&self, key: &str) -> String {
        match self {
            Self::Name | Self::Any => key.to_owned(),
            Self::Is(value) => format!("{key}={value}"),
        }
    }
}

impl PodsFile {
    /// The label selector that finds the pods of all workloads of the kind.
    pub fn selector(&self) -> String {
        let terms = self.labels.iter().map(|(key, label)| label.term(key));
        terms.collect::<Vec<_>>().join(",")
    }
}

/// A phase, and when it is that.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseRule {
    /// The phase.
    pub phase: crate::revision::Phase,
    /// Gives `true`, or the condition that says so, with its reason, message and time.
    pub when: Program,
}

/// How the components of a workload are found.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewFile {
    /// Gives one object per component: name, group, pod (a template), replicas, size, min, max, pods, model, nodePools,
    /// unresolved.
    pub components: Program,
    /// Name of the main component; the first when not given. One that asks for accelerators goes before one that does not.
    pub main: Option<String>,
    /// Names of the main container, by preference; the first when none is there.
    pub container: Vec<String>,
    /// What is done to the object first.
    pub code: Option<Code>,
    /// The accelerators and node pools that are known.
    pub hardware: Hardware,
}

impl ViewFile {
    /// The components of one workload, from its JSON; of each what `shape` keeps.
    ///
    /// # Errors
    /// Without any value of the object.
    pub fn components(
        &self,
        object: &str,
        shape: &Shape,
    ) -> Result<Vec<serde_json::Value>, JqFailure> {
        let object = match self.code {
            None => JqObject::parse(object)?,
            Some(code) => {
                let object = serde_json::from_str(object).map_err(|_| JqFailure::Input)?;
                JqObject::parse(&code.prepare(object).to_string())?
            }
        };
        self.components.run(&object, shape)
    }
}

/// A kind, whatever its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// Kind.
    pub kind: String,
    /// API group; empty for the core group.
    pub group: String,
}

/// Which objects of a kind are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// All of them.
    Always,
    /// Those that match one of the rules.
    Any {
        /// A label that it has: a key, or a key and its value.
        labels: Vec<(String, Option<String>)>,
        /// A container that asks for a GPU.
        gpu: bool,
        /// Fields that are there.
        present: Vec<Path>,
    },
}

/// A value at a path that means the same as no value there.
#[derive(Clone, Debug, PartialEq)]
pub struct Absent {
    /// Where.
    pub path: Path,
    /// The value, as canonical JSON.
    pub when: String,
}

impl Kind {
    /// Its name without the version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind {
            kind: self.kind.clone(),
            group: self.group.clone(),
        }
    }
}

impl std::fmt::Display for GroupKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}.{}", self.kind, self.group)
        }
    }
}
