//! [`Value`] to canonical text, without recursion.

use super::{Node, Value};

/// A container that is being written: its node and the child that comes next.
struct WriteFrame<'d> {
    value: Value<'d>,
    next: usize,
}

pub(super) fn canonical(value: Value<'_>, out: &mut Vec<u8>) {
    let mut open = Vec::new();
    start(value, out, &mut open);
    while let Some(frame) = open.last_mut() {
        let at = frame.next;
        frame.next += 1;
        if at == frame.value.len() {
            out.push(if frame.value.is_object() { b'}' } else { b']' });
            open.pop();
            continue;
        }
        if at > 0 {
            out.push(b',');
        }
        let child = child(frame.value, at, out);
        start(child, out, &mut open);
    }
}

/// Writes a scalar, or opens a container.
fn start<'d>(value: Value<'d>, out: &mut Vec<u8>, open: &mut Vec<WriteFrame<'d>>) {
    match value.node() {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Bool(true) => out.extend_from_slice(b"true"),
        Node::Bool(false) => out.extend_from_slice(b"false"),
        Node::Number(text) => out.extend_from_slice(text.as_bytes()),
        Node::String(text) => string(text, out),
        Node::Array(_) => {
            out.push(b'[');
            open.push(WriteFrame { value, next: 0 });
        }
        Node::Object(_) => {
            out.push(b'{');
            open.push(WriteFrame { value, next: 0 });
        }
    }
}

/// The child at `at`; of an object its key is written first.
fn child<'d>(value: Value<'d>, at: usize, out: &mut Vec<u8>) -> Value<'d> {
    match value.node() {
        Node::Object(entries) => {
            string(&entries[at].0, out);
            out.push(b':');
            value.with(entries[at].1)
        }
        Node::Array(items) => value.with(items[at]),
        _ => value,
    }
}

pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    let plain = |b: u8| b >= 0x20 && b != b'"' && b != b'\\';
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let run = rest.iter().position(|b| !plain(*b)).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        let Some(special) = rest.get(run) else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        rest = &rest[run + 1..];
    }
    out.push(b'"');
}
