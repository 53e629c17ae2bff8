//! The word lists of `data/`, read once. Each file says where its words come from. Pure.

use super::pattern::Pattern;
use aho_corasick::AhoCorasick;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// A list of words in lower case.
pub(super) type Words = HashSet<&'static str>;

/// The lists by which names are judged.
pub(super) struct NameWords {
    pub(super) secret: Words,
    pub(super) secret_at_the_end: Words,
    pub(super) fused: Words,
    pub(super) counted: Words,
    pub(super) whole: Words,
    pub(super) pass_of_data: Words,
    pub(super) about: Words,
    pub(super) place: Words,
    pub(super) switch: Words,
    pub(super) key_of: Words,
    pub(super) key_of_either: Words,
    pub(super) services: Words,
    pub(super) keys_that_find: Words,
    pub(super) text: Words,
    pub(super) plain: Vec<Pattern>,
    pub(super) reference: Words,
    pub(super) label: Words,
    pub(super) value: Words,
    pub(super) hints: Words,
}

/// The lists by which values are judged.
pub(super) struct ValueWords {
    pub(super) switches: Words,
    pub(super) ways_of_authentication: Words,
    pub(super) references: Vec<&'static str>,
    pub(super) prose: Words,
    pub(super) leading: Words,
    pub(super) schemes: Words,
}

/// The lists by which parts of URLs are judged.
pub(super) struct UrlWords {
    pub(super) query: Words,
    /// A host and the beginning of a path.
    pub(super) webhooks: Vec<&'static str>,
    pub(super) login_schemes: Words,
    pub(super) users: Words,
}

pub(super) static NAMES: LazyLock<NameWords> = LazyLock::new(|| {
    let mut lists = Lists::read(include_str!("data/names.txt"));
    NameWords {
        secret: lists.words("secret"),
        secret_at_the_end: lists.words("secret at the end"),
        fused: lists.words("fused"),
        counted: lists.words("counted"),
        whole: lists.words("whole"),
        pass_of_data: lists.words("pass of data"),
        about: lists.words("about"),
        place: lists.words("place"),
        switch: lists.words("switch"),
        key_of: lists.words("key of"),
        key_of_either: lists.words("key of either"),
        services: lists.words("services"),
        keys_that_find: lists.words("keys that find"),
        text: lists.words("text"),
        plain: lists
            .take("plain")
            .iter()
            .filter_map(|pattern| pattern.parse().ok())
            .collect(),
        reference: lists.words("reference"),
        label: lists.words("label"),
        value: lists.words("value"),
        hints: lists.words("hints"),
    }
});

/// Finds any of the hints in one pass, in any letter case; none when it cannot be built.
pub(super) static HINTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut hints = AhoCorasick::builder();
    hints.ascii_case_insensitive(true).build(&NAMES.hints).ok()
});

pub(super) static VALUES: LazyLock<ValueWords> = LazyLock::new(|| {
    let mut lists = Lists::read(include_str!("data/values.txt"));
    ValueWords {
        switches: lists.words("switches"),
        ways_of_authentication: lists.words("ways of authentication"),
        references: lists.take("references"),
        prose: lists.words("prose"),
        leading: lists.words("leading"),
        schemes: lists.words("schemes"),
    }
});

pub(super) static URLS: LazyLock<UrlWords> = LazyLock::new(|| {
    let mut lists = Lists::read(include_str!("data/urls.txt"));
    UrlWords {
        query: lists.words("query"),
        webhooks: lists.take("webhooks"),
        login_schemes: lists.words("login schemes"),
        users: lists.words("users"),
    }
});

/// The sections of a file.
#[derive(Default)]
pub(super) struct Lists(HashMap<&'static str, Vec<&'static str>>);

impl Lists {
    /// Reads `[section]`, lines of words, and lines that begin with `#`, which are left out.
    fn read(text: &'static str) -> Self {
        let mut lists = Self::default();
        let mut section = "";
        for line in lines(text) {
            let name = line.strip_prefix('[');
            if let Some(name) = name.and_then(|line| line.strip_suffix(']')) {
                section = name;
            } else {
                let words = line.split_whitespace();
                lists.0.entry(section).or_default().extend(words);
            }
        }
        lists
    }

    fn take(&mut self, section: &str) -> Vec<&'static str> {
        self.0.remove(section).unwrap_or_default()
    }

    fn words(&mut self, section: &str) -> Words {
        self.take(section).into_iter().collect()
    }
}

/// The lines of a data file that are neither empty nor comments.
pub(super) fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 5] = [
        include_str!("data/names.txt"),
        include_str!("data/values.txt"),
        include_str!("data/urls.txt"),
        include_str!("data/shapes.txt"),
        include_str!("data/tools.txt"),
    ];

    #[test]
    fn no_list_is_empty() {
        let names = &*NAMES;
        for (list, name) in [
            (&names.secret, "secret"),
            (&names.secret_at_the_end, "secret at the end"),
            (&names.fused, "fused"),
            (&names.counted, "counted"),
            (&names.whole, "whole"),
            (&names.pass_of_data, "pass of data"),
            (&names.about, "about"),
            (&names.place, "place"),
            (&names.switch, "switch"),
            (&names.key_of, "key of"),
            (&names.key_of_either, "key of either"),
            (&names.services, "services"),
            (&names.keys_that_find, "keys that find"),
            (&names.text, "text"),
            (&names.reference, "reference"),
            (&names.label, "label"),
            (&names.value, "value"),
            (&names.hints, "hints"),
            (&VALUES.switches, "switches"),
            (&VALUES.ways_of_authentication, "ways of authentication"),
            (&VALUES.prose, "prose"),
            (&VALUES.leading, "leading"),
            (&VALUES.schemes, "schemes"),
            (&URLS.query, "query"),
            (&URLS.login_schemes, "login schemes"),
            (&URLS.users, "users"),
        ] {
            assert!(!list.is_empty(), "{name}");
        }
        assert!(!names.plain.is_empty() && !VALUES.references.is_empty());
        assert!(!URLS.webhooks.is_empty());
    }

    #[test]
    fn every_file_of_data_names_its_sources() {
        for file in FILES {
            let sources = file.lines().filter(|line| line.contains("https://"));
            assert!(sources.count() >= 4, "{file}");
        }
    }
}
