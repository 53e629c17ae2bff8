//! `kubectl revisor`: reads Revisions from the API server, and brings workloads back, with the rights of its user.
//!
//! In: a command line. Out: text, without secrets unless they are asked for, and an exit code. Nothing here needs a
//! running controller. Each verb has a file, which completes its arguments, validates them and runs.

mod at;
mod completion;
mod connection;
mod diff;
mod failure;
mod fetch;
mod history;
mod list;
mod live;
mod print;
mod rollback;
mod show;
mod streams;
mod types;
mod words;
mod workload;

pub use streams::Streams;

use clap::{Parser, Subcommand};
use connection::ConnectionArgs;
use streams::is_broken_pipe;
use workload::{Scene, SettingsArgs};

/// The history of inference workloads, and the way back.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl revisor",
    bin_name = "kubectl revisor",
    version,
    max_term_width = 100
)]
pub struct PluginArgs {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Subcommand, Debug)]
enum Verb {
    List(Box<list::ListArgs>),
    History(Box<history::HistoryArgs>),
    Show(Box<show::ShowArgs>),
    At(Box<at::AtArgs>),
    #[command(alias = "why")]
    Diff(Box<diff::DiffArgs>),
    #[command(alias = "undo")]
    Rollback(Box<rollback::RollbackArgs>),
    Completion(completion::CompletionArgs),
    #[command(name = "__complete", hide = true)]
    Complete(completion::WordsArgs),
}

/// A verb that works on a cluster.
trait Run {
    /// The exit code after an error.
    const FAILED: u8 = 1;
    /// The exit code when the reader of the output has gone. A verb that only reads has done enough for such a reader.
    const UNREAD: u8 = 0;

    /// Does it. The exit code, unless it fails.
    async fn run(&self, scene: &Scene, streams: &mut Streams) -> anyhow::Result<u8>;
}

/// Carries the command out, and returns the exit code. Errors are printed, for people.
pub async fn run(args: PluginArgs, streams: &mut Streams) -> u8 {
    let PluginArgs { verb, connection } = args;
    match verb {
        Verb::List(args) => on_cluster(&*args, &args.settings, &connection, streams).await,
        Verb::History(args) => on_cluster(&*args, &args.settings, &connection, streams).await,
        Verb::Show(args) => on_cluster(&*args, &args.settings, &connection, streams).await,
        Verb::At(args) => on_cluster(&*args, &args.settings, &connection, streams).await,
        Verb::Diff(args) => on_cluster(&*args, &args.settings, &connection, streams).await,
        Verb::Rollback(args) => on_cluster(&*args, &args.settings, &connection, streams).await,
        Verb::Completion(args) => ended(args.run(streams).map(|()| 0), [1, 0], streams),
        Verb::Complete(args) => ended(args.run(streams).await.map(|()| 0), [1, 0], streams),
    }
}

async fn on_cluster<V: Run>(
    verb: &V,
    settings: &SettingsArgs,
    connection: &ConnectionArgs,
    streams: &mut Streams,
) -> u8 {
    let result = match Scene::connect(connection, settings).await {
        Ok(scene) => warned(verb, settings, &scene, streams).await,
        Err(error) => Err(error),
    };
    ended(result, [V::FAILED, V::UNREAD], streams)
}

async fn warned<V: Run>(
    verb: &V,
    settings: &SettingsArgs,
    scene: &Scene,
    streams: &mut Streams,
) -> anyhow::Result<u8> {
    if settings.show_secrets {
        streams.warn("values that look secret are not hidden in this output")?;
    }
    verb.run(scene, streams).await
}

/// A reader that stops early, such as `head`, is no failure.
fn ended(result: anyhow::Result<u8>, [failed, unread]: [u8; 2], streams: &mut Streams) -> u8 {
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) && unread == 0 => 0,
        Err(error) => {
            // Without standard error there is nobody to tell.
            let _ = streams.note(&format!("error: {error:#}"));
            failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        PluginArgs::command().debug_assert();
        for line in [
            "diff deployment/x --from -3 --to=-2 -n x",
            "diff deploy x -3 -1 --context c",
            "history -A -l app=x --as ann --as-group a --as-group b --as-uid 1",
            "list -A --since 2h --token t --server https://x --user u --cluster c",
            "show x @2h --request-timeout 5s -v 6 -o json",
            "rollback isvc/x last-good --yes --wait --dry-run=server --insecure-skip-tls-verify",
            "at 2026-11-20T10:00Z -A",
            "at --resource-version 7",
            "history -f x.yaml -o name --kubeconfig k",
        ] {
            let words = ["kubectl-revisor"].into_iter().chain(line.split(' '));
            let parsed = PluginArgs::try_parse_from(words);
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }
}
