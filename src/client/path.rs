//! Names of objects in the URL of a request. Pure.
//!
//! Some of them are not checked by the API server before they come here, such as that of an owner: they may have anything
//! in them, and must not lead a request anywhere else.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Display;

/// Signs that stand for themselves (RFC 3986, 2.3), and letters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A name as it stands in a path or a query; none when no object can have it: `IsValidPathSegmentName` of
/// k8s.io/apimachinery is the rule for all kinds.
pub(crate) fn segment(name: &str) -> Option<impl Display + Copy + use<'_>> {
    let is_segment = !matches!(name, "" | "." | "..") && !name.contains(['/', '%']);
    is_segment.then_some(Escaped(name))
}

#[derive(Clone, Copy)]
struct Escaped<'n>(&'n str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        utf8_percent_encode(self.0, ESCAPED).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        let shown = |name: &str| segment(name).map(|name| name.to_string());
        assert_eq!(shown("llama-70b.v1_2~").as_deref(), Some("llama-70b.v1_2~"));
        assert_eq!(
            shown("a?watch=true&x#").as_deref(),
            Some("a%3Fwatch%3Dtrue%26x%23")
        );
        assert_eq!(
            shown("system:node é").as_deref(),
            Some("system%3Anode%20%C3%A9")
        );
        for other in ["", ".", "..", "a/b", "../secrets", "a%2Fb", "/"] {
            assert_eq!(shown(other), None, "{other}");
        }
    }
}
