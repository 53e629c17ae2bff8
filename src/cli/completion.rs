//! `kubectl revisor completion`: scripts for shells, and the words that they offer, workloads and revisions among them.

mod offer;

use super::streams::Streams;
use clap::{Args, ValueEnum};

/// Print the completion script of a shell, or the program by which kubectl completes `kubectl revisor`
#[derive(Args, Debug)]
pub(super) struct CompletionArgs {
    /// The shell; `kubectl` is a program that belongs on the PATH as `kubectl_complete-revisor`
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Shell {
    /// source <(kubectl revisor completion bash)
    Bash,
    /// source <(kubectl revisor completion zsh)
    Zsh,
    /// kubectl revisor completion fish | source
    Fish,
    /// kubectl revisor completion kubectl >~/bin/kubectl_complete-revisor, and chmod +x
    Kubectl,
}

/// The words of a command line so far; the last one is being typed.
#[derive(Args, Debug)]
pub(super) struct WordsArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl CompletionArgs {
    /// Prints the script.
    pub(super) fn run(&self, streams: &mut Streams) -> anyhow::Result<()> {
        let script = match self.shell {
            Shell::Bash => include_str!("completion/kubectl-revisor.bash"),
            Shell::Zsh => include_str!("completion/kubectl-revisor.zsh"),
            Shell::Fish => include_str!("completion/kubectl-revisor.fish"),
            Shell::Kubectl => include_str!("completion/kubectl_complete-revisor"),
        };
        Ok(streams.print(script)?)
    }
}

/// Ends the offered words, as kubectl expects it: no files are offered beside them.
const NO_FILES: &str = ":4\n";
/// The shell offers files.
const FILES: &str = ":0\n";

impl WordsArgs {
    /// Prints the words that can stand where one is being typed.
    pub(super) async fn run(&self, streams: &mut Streams) -> anyhow::Result<()> {
        let offer = offer::offer(&self.words).await;
        let Some(words) = offer else {
            return Ok(streams.print(FILES)?);
        };
        let lines = words.into_iter().map(|(word, about)| match about {
            about if about.is_empty() => format!("{word}\n"),
            about => format!("{word}\t{about}\n"),
        });
        let text: String = lines.collect();
        Ok(streams.print(&(text + NO_FILES))?)
    }
}
