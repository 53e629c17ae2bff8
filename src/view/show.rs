//! One value of a change as a short text without secrets. Pure, and bounded in depth and length.

use super::diff::{Delta, Segment};
use super::redact::{Names, REDACTED};
use crate::json::{Value, write_string};
use std::borrow::Cow;

/// More is cut later anyway.
const ENOUGH: usize = 512;
const MAX_DEPTH: usize = 16;

/// The text for `value`, which is one side of `delta`: strings as they are, anything else as JSON.
pub(super) fn show(delta: &Delta<'_>, value: Value<'_>, names: &Names) -> String {
    if in_secret(delta, names) && value.is_scalar() {
        return REDACTED.to_owned();
    }
    if let Some(text) = value.as_str() {
        return scalar(delta, text, names).into_owned();
    }
    let mut out = Vec::new();
    let name = match delta.path.last() {
        Some(Segment::Key(name) | Segment::Name(name)) => name,
        _ => "",
    };
    write(value, name, 0, names, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn scalar<'a>(delta: &'a Delta<'_>, text: &'a str, names: &Names) -> Cow<'a, str> {
    match delta.path.last() {
        Some(Segment::Key(key)) => names.value(key, text),
        _ => names.argument(delta.preceded_by, text),
    }
}

/// Whether this is the value of something, an environment variable, whose name looks secret; the name is beside it, or
/// above it where every value is wrapped. So is what stands in a list of that name.
fn in_secret(delta: &Delta<'_>, names: &Names) -> bool {
    let above = match delta.path.iter().rev().nth(1) {
        Some(Segment::Key(name) | Segment::Name(name)) => names.secret_name(name),
        Some(Segment::Index(_)) | None => false,
    };
    match delta.path.last() {
        Some(Segment::Key("value")) => {
            above
                || delta
                    .beside
                    .iter()
                    .flatten()
                    .any(|name| names.secret_name(name))
        }
        Some(Segment::Index(_)) => above,
        _ => false,
    }
}

/// Recursion ends at [`MAX_DEPTH`], output soon after [`ENOUGH`] bytes.
fn write(value: Value<'_>, key: &str, depth: usize, names: &Names, out: &mut Vec<u8>) {
    if out.len() > ENOUGH {
        return;
    }
    if depth == MAX_DEPTH {
        out.extend_from_slice("…".as_bytes());
    } else if value.is_object() {
        object(value, key, depth, names, out);
    } else if value.is_array() {
        array(value, key, depth, names, out);
    } else if let Some(text) = value.as_str() {
        write_string(&names.value(key, text), out);
    } else if names.secret_name(key) && !value.is_null() && value.as_bool().is_none() {
        write_string(REDACTED, out);
    } else {
        value.write_canonical(out);
    }
}

fn object(value: Value<'_>, above: &str, depth: usize, names: &Names, out: &mut Vec<u8>) {
    let name = value.get("name").and_then(Value::as_str);
    let secret = name
        .into_iter()
        .chain([above])
        .any(|name| names.secret_name(name));
    out.push(b'{');
    for (i, (key, field)) in value.entries().enumerate().take_while(|(i, _)| *i < ENOUGH) {
        if i > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        if secret && key == "value" && field.is_scalar() {
            write_string(REDACTED, out);
        } else {
            write(field, key, depth + 1, names, out);
        }
    }
    out.push(b'}');
}

fn array(value: Value<'_>, above: &str, depth: usize, names: &Names, out: &mut Vec<u8>) {
    let mut before = None;
    let secret = names.secret_name(above);
    out.push(b'[');
    for (i, item) in value.items().enumerate().take_while(|(i, _)| *i < ENOUGH) {
        if i > 0 {
            out.push(b',');
        }
        match item.as_str() {
            Some(_) if secret => write_string(REDACTED, out),
            Some(text) => write_string(&names.argument(before, text), out),
            // A number in a list of secrets is one too.
            None => write(item, if secret { above } else { "" }, depth + 1, names, out),
        }
        before = item.as_str();
    }
    out.push(b']');
}
