//! Tables of the entries that fail, for the message of a failed test.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// So much of an entry is shown.
const WIDTH: usize = 100;

/// The outputs that fail for one entry.
pub struct Finding {
    pub form: String,
    /// The number of the entry in its form.
    pub entry: usize,
    /// The entry as it stands in the corpus.
    pub template: Value,
    /// The outputs, each with the steps in which it fails.
    pub places: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

impl Finding {
    pub fn is_found(&self) -> bool {
        !self.places.is_empty()
    }

    /// `diff acr, REST ac`.
    fn outputs(&self) -> String {
        let initials = |steps: &BTreeSet<&str>| -> String {
            steps
                .iter()
                .filter_map(|step| step.chars().next())
                .collect()
        };
        let places = self.places.iter();
        let each = places.map(|(output, steps)| format!("{output} {}", initials(steps)));
        each.collect::<Vec<_>>().join(", ")
    }
}

/// Counts by output and by form, then every entry that fails.
pub fn table(findings: &[Finding]) -> String {
    let mut forms: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut outputs: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        let (found, all) = forms.entry(&finding.form).or_default();
        *found += usize::from(finding.is_found());
        *all += 1;
        for output in finding.places.keys() {
            *outputs.entry(output).or_default() += 1;
        }
    }
    let found: Vec<_> = findings
        .iter()
        .filter(|finding| finding.is_found())
        .collect();
    let mut out = format!("{} of {} entries\n\n", found.len(), findings.len());
    // Writing to a String cannot fail.
    for (output, found) in outputs {
        let _ = writeln!(out, "{found:>4}  in {output}");
    }
    out.push('\n');
    for (form, (found, all)) in forms.iter().filter(|(_, (found, _))| *found > 0) {
        let _ = writeln!(out, "{found}/{all}  {form}");
    }
    out.push_str("\nform | entry | outputs, with the first letters of the steps | the entry\n");
    for finding in found {
        let template: String = finding.template.to_string().chars().take(WIDTH).collect();
        let outputs = finding.outputs();
        let _ = writeln!(
            out,
            "{} | {} | {outputs} | {template}",
            finding.form, finding.entry
        );
    }
    out
}
