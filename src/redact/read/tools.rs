//! The flags and arguments of well-known tools that hold secrets (`data/tools.txt`). Pure.

use crate::redact::words::lines;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Where one tool takes secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Tool {
    /// Only behind one of these arguments.
    pub(super) verbs: Vec<&'static str>,
    /// Flags whose value is a secret.
    pub(super) next: Vec<&'static str>,
    /// Flags whose value is a secret when it looks random.
    pub(super) random: Vec<&'static str>,
    /// Flags whose own end is a secret.
    pub(super) joined: Vec<&'static str>,
    /// Flags whose value is `user:password`.
    pub(super) account: Vec<&'static str>,
    /// The number of the argument behind the verb that is a secret.
    pub(super) place: Option<usize>,
    /// With this letter among the short flags the last argument is the secret.
    pub(super) last: Option<char>,
    /// Whether an argument that names a secret is followed by it.
    pub(super) is_pair: bool,
    /// Whether the tool reads a secret from its standard input.
    pub(super) reads_stdin: bool,
    /// Whether the arguments behind the first one are another command.
    pub(super) is_wrapper: bool,
    /// Flags behind which several secrets may stand.
    several: Vec<&'static str>,
    settings: Vec<&'static str>,
    files: Vec<&'static str>,
}

/// All tools.
pub(super) struct Tools {
    by_name: HashMap<&'static str, Tool>,
    /// Flags of any tool whose value is `user:password`.
    pub(super) account: Vec<&'static str>,
    /// Flags of any tool behind which several secrets may stand.
    pub(super) several: Vec<&'static str>,
    /// Settings that are followed by their value.
    pub(super) settings: Vec<&'static str>,
    /// Files that hold secrets and do not tell it by their names.
    pub(super) files: Vec<&'static str>,
}

pub(super) static TOOLS: LazyLock<Tools> =
    LazyLock::new(|| Tools::read(include_str!("../data/tools.txt")));

impl Tools {
    fn read(text: &'static str) -> Self {
        let mut tools = Self {
            by_name: HashMap::new(),
            account: Vec::new(),
            several: Vec::new(),
            settings: Vec::new(),
            files: Vec::new(),
        };
        for line in lines(text) {
            let (names, tool) = Tool::read(line);
            for name in names {
                if name == "*" {
                    tools.add_any(tool.clone());
                } else {
                    tools.by_name.insert(name, tool.clone());
                }
            }
        }
        tools
    }

    fn add_any(&mut self, any: Tool) {
        self.account.extend(any.account);
        self.several.extend(any.several);
        self.settings.extend(any.settings);
        self.files.extend(any.files);
    }

    /// The tool that this command names, be it by its path.
    pub(super) fn find(&self, command: &str) -> Option<&Tool> {
        let name = command.rsplit('/').next().unwrap_or(command);
        self.by_name.get(name)
    }
}

impl Tool {
    /// The names on a line, and the line's rules for these tools.
    fn read(line: &'static str) -> (Vec<&'static str>, Self) {
        let mut tool = Self::default();
        let mut names = Vec::new();
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => tool.set(key, value),
                None => match word {
                    "pair" => tool.is_pair = true,
                    "stdin" => tool.reads_stdin = true,
                    "wrapper" => tool.is_wrapper = true,
                    name => names.push(name),
                },
            }
        }
        (names, tool)
    }

    fn set(&mut self, key: &str, value: &'static str) {
        let list = value.split(',').collect();
        match key {
            "verb" => self.verbs = list,
            "next" => self.next = list,
            "random" => self.random = list,
            "joined" => self.joined = list,
            "account" => self.account = list,
            "several" => self.several = list,
            "setting" => self.settings = list,
            "file" => self.files = list,
            "place" => self.place = value.parse().ok(),
            "last" => self.last = value.chars().next(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_table_is_known() {
        let known = "verb next random joined account several setting file place last";
        for line in lines(include_str!("../data/tools.txt")) {
            let pairs = line
                .split_whitespace()
                .filter_map(|word| word.split_once('='));
            for (key, value) in pairs {
                assert!(known.contains(key) && !value.is_empty(), "{line}");
            }
        }
        assert!(TOOLS.find("/usr/bin/curl").is_some() && TOOLS.find("cp").is_none());
        assert!(!TOOLS.account.is_empty() && !TOOLS.several.is_empty());
        assert!(!TOOLS.settings.is_empty() && !TOOLS.files.is_empty());
    }
}
