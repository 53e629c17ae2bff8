//! The samples of a text in the format of OpenMetrics, as `/metrics` of Revisor has it. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// One sample: a name, its labels and a value.
struct Sample<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    value: f64,
}

impl Sample<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).copied()
    }
}

/// All samples of `/metrics`.
pub(super) struct Samples<'a>(Vec<Sample<'a>>);

impl<'a> Samples<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Sample<'a>> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The sum of a metric over all of its labels.
    pub(super) fn total(&self, name: &str) -> f64 {
        sum(self.named(name))
    }

    /// The sum of a metric over all labels of one kind.
    pub(super) fn total_of(&self, name: &str, kind: &str) -> f64 {
        sum(self
            .named(name)
            .filter(|sample| sample.label("kind") == Some(kind)))
    }

    /// The kinds that any sample has, in alphabetical order.
    pub(super) fn kinds(&self) -> BTreeSet<&str> {
        self.0
            .iter()
            .filter_map(|sample| sample.label("kind"))
            .collect()
    }
}

/// The sum of no samples is -0, which is printed as such, so 0 is added.
fn sum<'s, 'a: 's>(samples: impl Iterator<Item = &'s Sample<'a>>) -> f64 {
    samples.map(|sample| sample.value).sum::<f64>() + 0.0
}

/// `name{label="value",…} number`, as Revisor itself writes it: no value holds a quote or a comma.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some(Sample {
        name,
        labels: labels
            .trim_end_matches('}')
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key, value.trim_matches('"')))
            .collect(),
        value: value.parse().ok()?,
    })
}
