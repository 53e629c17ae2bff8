//! Paths below which nothing is judged, as the configuration has them. Pure.

use super::pattern::Pattern;

/// All paths have so many steps together at most.
const MAX_STEPS: usize = 64;

/// Paths whose values are shown. A path stands for every place whose path ends with its steps, and for all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainPaths {
    /// The steps of all paths, one after the other.
    steps: Vec<PathStep>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PathStep {
    name: Pattern,
    is_first: bool,
    is_last: bool,
}

/// The part of each path that ends at a place: bit n stands for the n-th of all steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress(u64);

impl PlainPaths {
    /// Paths as they stand in changes: `containers[main].env[SESSION_KEY]`. A key with dots in it stands in brackets, `*`
    /// in a step stands for any text.
    ///
    /// # Errors
    /// The text of the first that is no path, and why.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let mut steps = Vec::new();
        for text in texts {
            let names = split(text).ok_or_else(|| {
                format!("{text:?} is not a path such as containers[main].env[SESSION_KEY]")
            })?;
            let last = names.len() - 1;
            for (at, name) in names.into_iter().enumerate() {
                let name = Pattern::step(name)
                    .map_err(|error| format!("{text:?} is not a path: {error}"))?;
                steps.push(PathStep {
                    name,
                    is_first: at == 0,
                    is_last: at == last,
                });
            }
        }
        if steps.len() > MAX_STEPS {
            let all = steps.len();
            return Err(format!(
                "the paths have {all} steps together, {MAX_STEPS} are possible"
            ));
        }
        Ok(Self { steps })
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// One step further, to the field or the item of this name. True when a path ends there.
    pub(super) fn step(&self, progress: Progress, name: &str) -> (Progress, bool) {
        let mut next = 0;
        let mut ends = false;
        for (at, step) in self.steps.iter().enumerate() {
            let is_reached = step.is_first || progress.0 & (1 << (at - 1)) != 0;
            if is_reached && step.name.matches(name) {
                next |= 1 << at;
                ends |= step.is_last;
            }
        }
        (Progress(next), ends)
    }
}

/// The steps of a path; none when it is malformed, or names an item by its number, which changes when others come.
fn split(text: &str) -> Option<Vec<&str>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (step, after) = if let Some(item) = rest.strip_prefix('[') {
            let (item, after) = item.split_once(']')?;
            let is_number = item.bytes().all(|byte| byte.is_ascii_digit());
            (Some(item).filter(|_| !is_number)?, after)
        } else {
            rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
        };
        steps.push(Some(step).filter(|step| !step.is_empty())?);
        rest = match after.strip_prefix('.') {
            Some("") => return None,
            Some(key) => key,
            None if after.is_empty() || after.starts_with('[') => after,
            None => return None,
        };
    }
    // Any step at all is any place at all.
    steps.iter().any(|step| *step != "*").then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(paths: &[&str], steps: &[&str]) -> bool {
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        let paths = PlainPaths::parse(&paths).expect("paths");
        let mut progress = Progress::default();
        let mut ends = false;
        for step in steps {
            (progress, ends) = paths.step(progress, step);
        }
        ends
    }

    #[test]
    fn a_path_stands_for_the_places_whose_path_ends_with_it() {
        let args = ["containers[main].args"];
        assert!(ends(&args, &["containers", "main", "args"]));
        assert!(ends(
            &args,
            &["spec", "template", "containers", "main", "args"]
        ));
        assert!(!ends(&args, &["containers", "other", "args"]));
        assert!(!ends(&args, &["containers", "main", "env", "args"]));
        assert!(!ends(&args, &["args"]));
        let both = ["env[A_*]", "annotations[example.com/key]"];
        assert!(ends(&both, &["env", "A_1"]));
        assert!(ends(&both, &["metadata", "annotations", "example.com/key"]));
        assert!(!ends(&both, &["env", "example.com/key"]));
        assert!(ends(&["a.a.b"], &["a", "a", "a", "b"]));
    }

    #[test]
    fn a_malformed_path_is_named() {
        for bad in [
            "", ".", "a.", ".a", "a..b", "a[", "a[b", "a[]", "a[0]", "a[b]c", "a b", "*", "*.*",
            "a.**",
        ] {
            let error = PlainPaths::parse(&[bad.to_owned()]).expect_err(bad);
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
        let long = vec!["a.b.c.d.e".to_owned(); 13];
        let error = PlainPaths::parse(&long).expect_err("65 steps");
        assert!(error.contains("65 steps"), "{error}");
        assert!(PlainPaths::parse(&long[..12]).is_ok());
    }
}
