//! The words that can stand at the end of a command line.

use super::super::PluginArgs;
use super::super::connection::{ConnectionArgs, contexts};
use super::super::failure::REVISIONS;
use super::super::fetch::{self, Keep};
use super::super::print::printable;
use super::super::workload::{Scene, SettingsArgs};
use crate::history::lives::{Life, lives};
use clap::{Arg, Command, CommandFactory, Parser};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::ListParams;

/// A word, and a few words about it.
pub(super) type Word = (String, String);

/// The words that are offered; none where a file is expected. What cannot be asked for is not offered.
pub(super) async fn offer(words: &[String]) -> Option<Vec<Word>> {
    let mut root = PluginArgs::command();
    root.build();
    let (typed, before) = words
        .split_last()
        .map_or(("", &[][..]), |(typed, before)| (typed.as_str(), before));
    let verb = before.iter().find_map(|word| root.find_subcommand(word));
    let command = verb.unwrap_or(&root);
    let connection = connection_of(before);
    let expected = before.last().and_then(|word| valued(command, word));
    let all = if let Some(flag) = expected {
        values(flag, &connection).await?
    } else if typed.starts_with('-') && !typed[1..].starts_with(|c: char| c.is_ascii_digit()) {
        flags(command)
    } else if verb.is_none() {
        verbs(&root)
    } else if takes_workloads(command) {
        workloads(&positional(command, before), &connection)
            .await
            .unwrap_or_default()
    } else {
        choices(command)
    };
    Some(
        all.into_iter()
            .filter(|(word, _)| word.starts_with(typed))
            .collect(),
    )
}

/// The connection flags that were typed. A last flag may miss its value, which is the one that is typed now.
fn connection_of(before: &[String]) -> ConnectionArgs {
    let shorter = &before[..before.len().saturating_sub(1)];
    let parsed = [before, shorter].into_iter().find_map(|words| {
        let words = std::iter::once("kubectl-revisor").chain(words.iter().map(String::as_str));
        PluginArgs::try_parse_from(words).ok()
    });
    parsed.map(|args| args.connection).unwrap_or_default()
}

/// The flag that a word is, when its value comes next.
fn valued<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let is_named = |arg: &&Arg| {
        let long = arg
            .get_long()
            .is_some_and(|long| word.strip_prefix("--") == Some(long));
        let short = arg
            .get_short()
            .is_some_and(|short| *word == format!("-{short}"));
        long || short
    };
    command.get_arguments().find(is_named).filter(|arg| {
        arg.get_action().takes_values() && arg.get_num_args().is_some_and(|it| it.min_values() > 0)
    })
}

async fn values(flag: &Arg, connection: &ConnectionArgs) -> Option<Vec<Word>> {
    let possible = flag.get_possible_values();
    if !possible.is_empty() {
        let word = |it: &clap::builder::PossibleValue| (it.get_name().to_owned(), String::new());
        return Some(possible.iter().map(word).collect());
    }
    match flag.get_id().as_str() {
        "namespace" | "other_namespace" => Some(namespaces(connection).await.unwrap_or_default()),
        "context" => Some(
            contexts(connection)
                .into_iter()
                .map(|it| (it, String::new()))
                .collect(),
        ),
        "kubeconfig"
        | "filename"
        | "config"
        | "repo_file"
        | "certificate_authority"
        | "client_certificate"
        | "client_key" => None,
        _ => Some(Vec::new()),
    }
}

async fn namespaces(connection: &ConnectionArgs) -> anyhow::Result<Vec<Word>> {
    let scene = Scene::connect(connection, &SettingsArgs::default()).await?;
    let api: Api<Namespace> = Api::all(scene.session.client.clone());
    let all = api.list_metadata(&ListParams::default()).await?;
    Ok(all
        .items
        .into_iter()
        .filter_map(|it| Some((it.metadata.name?, String::new())))
        .collect())
}

fn about(command: &Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn verbs(root: &Command) -> Vec<Word> {
    let shown = root.get_subcommands().filter(|it| !it.is_hide_set());
    shown
        .map(|it| (it.get_name().to_owned(), about(it)))
        .collect()
}

fn flags(command: &Command) -> Vec<Word> {
    let long = |arg: &Arg| {
        Some((
            format!("--{}", arg.get_long()?),
            arg.get_help().map(ToString::to_string).unwrap_or_default(),
        ))
    };
    command
        .get_arguments()
        .filter(|it| !it.is_hide_set())
        .filter_map(long)
        .collect()
}

fn choices(command: &Command) -> Vec<Word> {
    let possible = command.get_positionals().flat_map(Arg::get_possible_values);
    possible
        .map(|it| (it.get_name().to_owned(), String::new()))
        .collect()
}

fn takes_workloads(command: &Command) -> bool {
    command.get_positionals().any(|it| it.get_id() == "words")
}

/// The words so far that are neither flags nor their values, without the verb.
fn positional(command: &Command, before: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = before.iter();
    while let Some(word) = rest.next() {
        if valued(command, word).is_some() {
            rest.next();
        } else if !word.starts_with('-') || word[1..].starts_with(|c: char| c.is_ascii_digit()) {
            words.push(word.clone());
        }
    }
    let verb = words.iter().position(|word| word == command.get_name());
    verb.map_or_else(Vec::new, |at| words.split_off(at + 1))
}

/// Workloads with a history, or revisions of the one that was named.
async fn workloads(words: &[String], connection: &ConnectionArgs) -> anyhow::Result<Vec<Word>> {
    let scene = Scene::connect(connection, &SettingsArgs::default()).await?;
    let namespace = scene.session.namespace.as_str();
    let catalogue = &scene.settings.catalogue;
    let all =
        fetch::revisions(&scene.session, Some(namespace), &[], Keep::Heads, catalogue).await?;
    let lives: Vec<Life> = lives(all.revisions)
        .into_values()
        .filter_map(|mut lives| lives.pop())
        .collect();
    let Some((first, rest)) = words.split_first() else {
        return Ok(lives.iter().map(named).collect());
    };
    let kind = match first.split_once('/') {
        Some((kind, _)) => scene.types.find(&scene.session, kind).await?,
        None => scene.types.find(&scene.session, first).await?,
    };
    let (name, is_named) = match (first.split_once('/'), rest.first()) {
        (Some((_, name)), _) => (name, true),
        (None, Some(name)) if kind.is_some() => (name.as_str(), true),
        (None, _) if kind.is_some() => ("", false),
        _ => (first.as_str(), true),
    };
    let of_kind = lives
        .iter()
        .filter(|life| kind.as_ref().is_none_or(|kind| life.group_kind() == *kind));
    if !is_named {
        return Ok(of_kind
            .map(|life| (life.name().to_owned(), String::new()))
            .collect());
    }
    let life = of_kind.into_iter().find(|life| life.name() == name);
    Ok(life.map(revisions).unwrap_or_default())
}

fn named(life: &Life) -> Word {
    let kind = life.group_kind().kind.to_lowercase();
    (
        format!("{kind}/{}", life.name()),
        format!("{} {REVISIONS}", life.revisions.len()),
    )
}

fn revisions(life: &Life) -> Vec<Word> {
    let numbers = life.revisions.iter().rev().map(|it| {
        let summary = it.spec.view.as_ref().map(|view| printable(&view.summary));
        (it.spec.generation.to_string(), summary.unwrap_or_default())
    });
    let words = ["last-good", "serving"].map(|word| (word.to_owned(), String::new()));
    numbers.chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn offered(line: &str) -> Option<Vec<String>> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        Some(
            offer(&words)
                .await?
                .into_iter()
                .map(|(word, _)| word)
                .collect(),
        )
    }

    #[tokio::test]
    async fn verbs_flags_and_values_are_offered_without_a_cluster() {
        let verbs = offered("").await.expect("words");
        for verb in [
            "list",
            "history",
            "show",
            "at",
            "diff",
            "rollback",
            "completion",
        ] {
            assert!(verbs.iter().any(|it| it == verb), "{verbs:?}");
        }
        assert!(!verbs.iter().any(|it| it.starts_with("__")));
        assert_eq!(offered("hi").await, Some(vec!["history".to_owned()]));
        let flags = offered("diff --").await.expect("words");
        for flag in ["--live", "--summary", "--context", "--as-group"] {
            assert!(flags.iter().any(|it| it == flag), "{flags:?}");
        }
        assert_eq!(offered("history -o w").await, Some(vec!["wide".to_owned()]));
        assert_eq!(offered("history -f ").await, None);
        assert_eq!(offered("completion f").await, Some(vec!["fish".to_owned()]));
    }

    #[test]
    fn values_of_flags_are_no_workloads() {
        let mut root = PluginArgs::command();
        root.build();
        let words = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            positional(root.find_subcommand("diff").expect("a verb"), &words)
        };
        assert_eq!(words("-n ml diff isvc/a --context c -3"), ["isvc/a", "-3"]);
        assert!(words("diff --live").is_empty());
    }
}
