//! Types of workloads by every name that kubectl knows: kind, plural, short names, with or without the group.

use super::connection::Session;
use crate::kinds::{Catalogue, GroupKind, Kind};
use crate::workload::Resource;
use anyhow::bail;
use kube::core::discovery::v2::APIGroupDiscoveryList;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A type that the API server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServedType {
    /// Where it is served.
    pub(super) resource: Resource,
    singular: String,
    short_names: Vec<String>,
}

/// Types that are recorded, and those that the API server serves.
pub(super) struct Types {
    catalogue: Catalogue,
    served: OnceCell<Vec<ServedType>>,
}

impl Types {
    /// Those of the catalogue; the others are asked for when they are needed.
    pub(super) fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue,
            served: OnceCell::new(),
        }
    }

    /// The kind file of a kind.
    pub(super) fn kind(&self, wanted: &GroupKind) -> Option<Arc<Kind>> {
        let kinds = self.catalogue.kinds().iter();
        let mut same = kinds.filter(|it| it.kind == wanted.kind && it.group == wanted.group);
        same.next().cloned()
    }

    /// The kinds that are recorded.
    pub(super) fn recorded(&self) -> &[Arc<Kind>] {
        self.catalogue.kinds()
    }

    /// The kind that a word names; none when it names none. Of several the one that is recorded counts.
    pub(super) async fn find(
        &self,
        session: &Session,
        word: &str,
    ) -> anyhow::Result<Option<GroupKind>> {
        let recorded = self.catalogue.kinds().iter();
        let mut known = recorded.filter(|kind| {
            let names = [kind.kind.as_str(), &kind.plural];
            is_named(word, &names, &kind.group, &kind.versions)
        });
        if let Some(kind) = known.next() {
            return Ok(Some(kind.group_kind()));
        }
        let served = self.served(session).await?;
        let named: Vec<_> = served.iter().filter(|it| it.is_named(word)).collect();
        let is_recorded = |it: &&&ServedType| self.catalogue.has(&it.group_kind());
        let best = named.iter().find(is_recorded).or(named.first());
        Ok(best.map(|it| it.group_kind()))
    }

    /// Where objects of a kind are served: in `version`, or in the version that the API server prefers.
    pub(super) async fn resource(
        &self,
        session: &Session,
        kind: &GroupKind,
        version: &str,
    ) -> anyhow::Result<Resource> {
        let served = self.served(session).await?;
        let of_kind: Vec<_> = served
            .iter()
            .filter(|it| it.group_kind() == *kind)
            .collect();
        let same = of_kind.iter().find(|it| it.resource.version == version);
        match same.or(of_kind.first()) {
            Some(found) => Ok(found.resource.clone()),
            None => bail!("this cluster serves no {kind}: its definition is not installed"),
        }
    }

    async fn served(&self, session: &Session) -> anyhow::Result<&[ServedType]> {
        let ask = async || {
            let explain = |error| session.explain(error, "get", "the list of types", None);
            let groups = session.client.list_api_groups_aggregated();
            let core = session.client.list_core_api_versions_aggregated();
            let (groups, core) = tokio::try_join!(groups, core).map_err(explain)?;
            anyhow::Ok(served(&core).chain(served(&groups)).collect())
        };
        self.served.get_or_try_init(ask).await.map(Vec::as_slice)
    }
}

impl ServedType {
    fn group_kind(&self) -> GroupKind {
        GroupKind {
            kind: self.resource.kind.clone(),
            group: self.resource.group.clone(),
        }
    }

    fn is_named(&self, word: &str) -> bool {
        let mut names = vec![
            self.resource.kind.as_str(),
            &self.resource.plural,
            &self.singular,
        ];
        names.extend(self.short_names.iter().map(String::as_str));
        is_named(
            word,
            &names,
            &self.resource.group,
            std::slice::from_ref(&self.resource.version),
        )
    }
}

/// Whether a word is one of the names, alone or with `.group` or `.version.group` after it.
fn is_named(word: &str, names: &[&str], group: &str, versions: &[String]) -> bool {
    let (name, place) = word.split_once('.').unwrap_or((word, ""));
    let is_name = names
        .iter()
        .any(|it| it.eq_ignore_ascii_case(name) && !name.is_empty());
    let in_version = || {
        versions
            .iter()
            .any(|version| format!("{version}.{group}") == place)
    };
    is_name && (place.is_empty() || place == group || in_version())
}

fn served(list: &APIGroupDiscoveryList) -> impl Iterator<Item = ServedType> {
    list.items.iter().flat_map(|group| {
        let name = group
            .metadata
            .as_ref()
            .and_then(|it| it.name.clone())
            .unwrap_or_default();
        group.versions.iter().flat_map(move |version| {
            let name = name.clone();
            version.resources.iter().filter_map(move |it| {
                let kind = it.response_kind.as_ref()?;
                Some(ServedType {
                    resource: Resource {
                        group: name.clone(),
                        version: version.version.clone()?,
                        kind: kind.kind.clone()?,
                        plural: it.resource.clone()?,
                    },
                    singular: it.singular_resource.clone().unwrap_or_default(),
                    short_names: it.short_names.clone(),
                })
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_all_the_names_that_kubectl_knows() {
        let service = ServedType {
            resource: Resource {
                group: "serving.kserve.io".to_owned(),
                version: "v1beta1".to_owned(),
                kind: "InferenceService".to_owned(),
                plural: "inferenceservices".to_owned(),
            },
            singular: "inferenceservice".to_owned(),
            short_names: vec!["isvc".to_owned()],
        };
        for word in [
            "isvc",
            "InferenceService",
            "inferenceservices",
            "inferenceservice.serving.kserve.io",
            "inferenceservices.v1beta1.serving.kserve.io",
        ] {
            assert!(service.is_named(word), "{word}");
        }
        for word in [
            "",
            "isv",
            "isvc.apps",
            "inferenceservices.v1.serving.kserve.io",
            ".serving.kserve.io",
        ] {
            assert!(!service.is_named(word), "{word}");
        }
    }
}
