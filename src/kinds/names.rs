//! Names as the API server takes them. Pure.

/// The name of a kind: CamelCase.
pub(super) fn is_kind(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// A label of a DNS name (RFC 1123).
pub(super) fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A DNS name: labels with dots between.
pub(super) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// The key of a label: a name, with or without the DNS name of its owner and a slash before it.
pub(crate) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.rsplit_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    (1..=63).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && prefix.is_none_or(is_dns_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_or_refused() {
        let long = "a".repeat(64);
        for (valid, text, expected) in [
            (is_kind as fn(&str) -> bool, "NIMService", true),
            (is_kind, "nimService", false),
            (is_kind, "", false),
            (is_kind, "Thing.a", false),
            (is_dns_label, "v1beta1", true),
            (is_dns_label, "-a", false),
            (is_dns_label, "a-", false),
            (is_dns_label, "", false),
            (is_dns_label, &long, false),
            (is_dns_name, "serving.kserve.io", true),
            (is_dns_name, "a..b", false),
            (is_dns_name, "A.b", false),
            (is_label_key, "app", true),
            (is_label_key, "a.b/App_1.x", true),
            (is_label_key, "/app", false),
            (is_label_key, "a.b/", false),
            (is_label_key, "a/b/c", false),
            (is_label_key, "a b", false),
            (is_label_key, &long, false),
        ] {
            assert_eq!(valid(text), expected, "{text}");
        }
    }
}
