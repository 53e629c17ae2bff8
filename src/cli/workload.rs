//! The workload that a command is about: its names on the command line, and its Revisions.

use super::connection::{ConnectionArgs, Session};
use super::fetch::{self, Fetched, Keep};
use super::types::Types;
use super::words::{self, Spoken};
use crate::config::Config;
use crate::history::Which;
use crate::history::lives::{Life, Name, lives};
use crate::history::same::Normal;
use crate::kinds::{Catalogue, GroupKind, Kind};
use crate::redact::Names;
use anyhow::{Context, bail};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

/// Values that are hidden, and kinds that are known.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct SettingsArgs {
    /// Print values that look secret too; without it they are hidden
    #[arg(long)]
    pub(super) show_secrets: bool,
    /// Configuration file of Revisor, for the names of secrets and the kinds that it adds
    #[arg(
        long,
        env = "REVISOR_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    config: Option<PathBuf>,
}

/// What a command goes by.
pub(super) struct Settings {
    /// The names by which values are hidden; none when they are shown.
    pub(super) names: Option<Names>,
    /// The names by which values are hidden where they are always hidden.
    pub(super) strict_names: Names,
    /// The kinds that are recorded.
    pub(super) catalogue: Catalogue,
}

impl SettingsArgs {
    /// Reads the configuration.
    pub(super) fn complete(&self) -> anyhow::Result<Settings> {
        let config = Config::load(self.config.as_deref())?;
        let names = config.settings.names;
        Ok(Settings {
            names: (!self.show_secrets).then(|| names.clone()),
            strict_names: names,
            catalogue: config.catalogue,
        })
    }
}

/// A workload, and revisions of it.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct TargetArgs {
    /// A workload as TYPE/NAME, TYPE NAME, or NAME where one workload has it; then revisions: 7, -1 (the newest), an id or
    /// its beginning, @2026-11-20T10:00Z, @2h, last-good, serving
    #[arg(value_name = "WORKLOAD [REV]", allow_negative_numbers = true)]
    pub(super) words: Vec<String>,
    /// Manifest of the workload, instead of its name; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(super) filename: Option<PathBuf>,
    /// Its uid, when several workloads had this name one after the other
    #[arg(long)]
    pub(super) uid: Option<Uuid>,
}

/// A connected command.
pub(super) struct Scene {
    /// The connection.
    pub(super) session: Session,
    /// Types and their names.
    pub(super) types: Types,
    /// Names of secrets, and kinds.
    pub(super) settings: Settings,
}

impl Scene {
    /// Connects, and reads the configuration.
    pub(super) async fn connect(
        connection: &ConnectionArgs,
        settings: &SettingsArgs,
    ) -> anyhow::Result<Self> {
        let settings = settings.complete()?;
        let session = Session::connect(connection).await?;
        let types = Types::new(settings.catalogue.clone());
        Ok(Self {
            session,
            types,
            settings,
        })
    }

    /// The words of a command line as workloads with their revisions.
    pub(super) async fn spoken(&self, args: &TargetArgs) -> anyhow::Result<Vec<Spoken>> {
        let Some(file) = &args.filename else {
            let first_is_type = match words::unclear(&args.words) {
                Some(word) => self.types.find(&self.session, word).await?.is_some(),
                None => false,
            };
            return words::read(&args.words, first_is_type);
        };
        let shown = file.display().to_string();
        let text = if shown == "-" {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(file)
        };
        let mut spoken = words::of_manifest(&shown, &text.with_context(|| shown.clone())?)?;
        let parse = |word: &String| word.parse().map_err(|error: String| anyhow::anyhow!(error));
        spoken.revisions = args.words.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(vec![spoken])
    }

    /// The one workload that the command line names.
    pub(super) async fn one(&self, args: &TargetArgs, keep: Keep) -> anyhow::Result<Found> {
        let spoken = self.spoken(args).await?;
        match <[Spoken; 1]>::try_from(spoken) {
            Ok([one]) => self.find(one, args.uid, keep).await,
            Err(all) if all.is_empty() => {
                bail!(
                    "name a workload: TYPE/NAME, such as inferenceservice/llama-70b (`kubectl revisor list` has them)"
                )
            }
            Err(all) => bail!("one workload is needed, and {} are named", all.len()),
        }
    }

    /// The Revisions of a workload that was named.
    pub(super) async fn find(
        &self,
        spoken: Spoken,
        uid: Option<Uuid>,
        keep: Keep,
    ) -> anyhow::Result<Found> {
        let namespace = spoken
            .namespace
            .clone()
            .unwrap_or_else(|| self.session.namespace.clone());
        let kind = match &spoken.kind {
            Some(word) => Some(self.kind_named(word, &spoken.name, &namespace).await?),
            None => None,
        };
        let mut selector = vec![("spec.workload.name", spoken.name.as_str())];
        if let Some(kind) = &kind {
            selector.push(("spec.workload.kind", kind.kind.as_str()));
        }
        let catalogue = &self.settings.catalogue;
        let fetched = fetch::revisions(&self.session, Some(&namespace), &selector, keep, catalogue);
        let Fetched { revisions, normals } = fetched.await?;
        let mut names = lives(revisions);
        if let Some(kind) = &kind {
            names.retain(|name, _| name.1 == *kind);
        }
        if names.is_empty() {
            return Err(self.nothing(&spoken, kind.as_ref(), &namespace).await);
        }
        let lives = only_one(names)?;
        Found::new(lives, uid, spoken.revisions, normals)
    }

    /// The kind that a word names: to the API server, or, when its definition is gone, to the Revisions of this name.
    async fn kind_named(
        &self,
        word: &str,
        name: &str,
        namespace: &str,
    ) -> anyhow::Result<GroupKind> {
        if let Some(kind) = self.types.find(&self.session, word).await? {
            return Ok(kind);
        }
        let selector = [("spec.workload.name", name)];
        let catalogue = &self.settings.catalogue;
        let all = fetch::revisions(
            &self.session,
            Some(namespace),
            &selector,
            Keep::Heads,
            catalogue,
        );
        let names = lives(all.await?.revisions);
        let mut kinds = names.into_keys().map(|(_, kind, _)| kind);
        let is_meant =
            |kind: &GroupKind| word.to_lowercase().starts_with(&kind.kind.to_lowercase());
        if let Some(kind) = kinds.find(is_meant) {
            return Ok(kind);
        }
        let known: Vec<_> = self
            .types
            .recorded()
            .iter()
            .map(|it| it.kind.to_lowercase())
            .collect();
        bail!(
            "the server has no type {word:?}; recorded are: {}",
            known.join(", ")
        )
    }

    /// Why nothing was found: the kind is not recorded, or the name is another one.
    async fn nothing(
        &self,
        spoken: &Spoken,
        kind: Option<&GroupKind>,
        namespace: &str,
    ) -> anyhow::Error {
        let name = &spoken.name;
        if let Some(kind) = kind.filter(|kind| self.types.kind(kind).is_none()) {
            return anyhow::anyhow!(
                "{kind} is not recorded: no kind file names it (`revisor kinds`; a kind file adds it), and {name} has no revisions"
            );
        }
        let all = fetch::revisions(
            &self.session,
            Some(namespace),
            &[],
            Keep::Heads,
            &self.settings.catalogue,
        );
        let all = all.await.map(|it| lives(it.revisions)).unwrap_or_default();
        let near = nearest(name, kind, all.keys());
        let asked = match kind {
            Some(kind) => format!("{}/{name}", kind.kind.to_lowercase()),
            None => name.clone(),
        };
        let hint = if near.is_empty() {
            "is it recorded? (`revisor kinds --cluster`)".to_owned()
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        anyhow::anyhow!("no revisions of {asked} in namespace {namespace}; {hint}")
    }
}

fn only_one(mut names: BTreeMap<Name, Vec<Life>>) -> anyhow::Result<Vec<Life>> {
    if names.len() > 1 {
        let all: Vec<_> = names
            .keys()
            .map(|(_, kind, name)| format!("{}/{name}", kind.to_string().to_lowercase()))
            .collect();
        bail!("several workloads have this name: {}", all.join(", "));
    }
    names
        .pop_first()
        .map(|(_, lives)| lives)
        .context("no workload")
}

/// At most three names that differ in few letters, nearest first; those of the wanted kind before others.
fn nearest<'n>(
    name: &str,
    kind: Option<&GroupKind>,
    all: impl Iterator<Item = &'n Name>,
) -> Vec<String> {
    let mut near: Vec<_> = all
        .map(|(_, of, known)| {
            (
                kind.is_some_and(|kind| kind != of),
                distance(name, known),
                of,
                known,
            )
        })
        .filter(|(_, distance, _, known)| {
            *distance <= name.chars().count() / 2
                || known.contains(name)
                || name.contains(known.as_str())
        })
        .collect();
    near.sort();
    let shown = near
        .into_iter()
        .map(|(_, _, of, known)| format!("{}/{known}", of.kind.to_lowercase()));
    shown.take(3).collect()
}

/// The number of letters that have to change, come or go (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A workload with its Revisions.
pub(super) struct Found {
    /// Earlier workloads of the same name, the oldest first.
    pub(super) earlier: Vec<Life>,
    /// The workload.
    pub(super) life: Life,
    /// The revisions that were named.
    pub(super) revisions: Vec<Which>,
    /// The normal forms, where they were asked for.
    pub(super) normals: BTreeMap<(Uuid, i64), Normal>,
}

impl Found {
    fn new(
        mut lives: Vec<Life>,
        uid: Option<Uuid>,
        revisions: Vec<Which>,
        normals: BTreeMap<(Uuid, i64), Normal>,
    ) -> anyhow::Result<Self> {
        if let Some(uid) = uid {
            let known: Vec<_> = lives.iter().map(|life| life.uid.to_string()).collect();
            lives.retain(|life| life.uid == uid);
            if lives.is_empty() {
                bail!(
                    "no workload of this name has the uid {uid}; there are: {}",
                    known.join(", ")
                );
            }
        }
        let life = lives.pop().context("no workload")?;
        Ok(Self {
            earlier: lives,
            life,
            revisions,
            normals,
        })
    }

    /// The workload as arguments of the plugin.
    pub(super) fn target(&self) -> String {
        format!(
            "{}/{}",
            self.life.group_kind().kind.to_lowercase(),
            self.life.name()
        )
    }

    /// The kind file of the workload.
    pub(super) fn kind(&self, types: &Types) -> Option<Arc<Kind>> {
        types.kind(&self.life.group_kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_few_letters_are_near() {
        let kind = |kind: &str| GroupKind {
            kind: kind.to_owned(),
            group: "g".to_owned(),
        };
        let name = |of: &str, name: &str| ("n".to_owned(), kind(of), name.to_owned());
        let all = [
            name("B", "llama-8b"),
            name("A", "llama-70b"),
            name("A", "mistral"),
            name("A", "llama"),
        ];
        assert_eq!(
            nearest("lama-70b", Some(&kind("A")), all.iter()),
            ["a/llama-70b", "b/llama-8b"]
        );
        assert_eq!(
            nearest("llama", None, all.iter()),
            ["a/llama", "b/llama-8b", "a/llama-70b"]
        );
        assert!(nearest("qwen", None, all.iter()).is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
