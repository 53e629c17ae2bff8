//! How deep and how wide a JSON text is, without reading it. Pure.
//!
//! A value of jq takes up to a hundred times the memory of its text, is made and dropped by recursion, and a program that
//! takes too long over one object is not run for any other. So an object that somebody made for that is refused first.

/// The API server takes no object that is nested deeper.
const MAX_DEPTH: usize = 10_000;
/// The values of an object: a workload has some thousands.
const MAX_PARTS: usize = 100_000;

/// Whether a program may be run over an object with this text.
pub(super) fn is_usual(text: &str) -> bool {
    let mut depth = 0_usize;
    let mut parts = 1_usize;
    let mut bytes = text.bytes();
    let mut is_within_string = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_within_string = !is_within_string,
            b'\\' if is_within_string => drop(bytes.next()),
            b'{' | b'[' if !is_within_string => {
                depth += 1;
                parts += 1;
            }
            b'}' | b']' if !is_within_string => depth = depth.saturating_sub(1),
            b',' if !is_within_string => parts += 1,
            _ => {}
        }
        if depth > MAX_DEPTH || parts > MAX_PARTS {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_too_deeply_or_has_too_many_parts_is_not_usual() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let wide = |parts: usize| format!("[{}0]", "0,".repeat(parts - 1));
        let text = |length: usize| format!("\"{}\"", "[,\\\"".repeat(length));
        assert!(is_usual(&nested(MAX_DEPTH)) && !is_usual(&nested(MAX_DEPTH + 1)));
        assert!(is_usual(&wide(MAX_PARTS - 2)) && !is_usual(&wide(MAX_PARTS)));
        assert!(is_usual(&text(MAX_PARTS)) && is_usual("") && is_usual("]]"));
    }
}
