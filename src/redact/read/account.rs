//! `user:password@host` without a scheme, as drivers of databases read it. Pure.
//!
//! Go's driver for MySQL has `user:password@tcp(host:port)/db`, Oracle's has `user/password@//host:port/db`, or
//! `user/password@host:port/service`.

use crate::redact::lex::{byte, byte_before, is_of_name, skip_while};
use crate::redact::name::NameClass;
use crate::redact::scan::Scan;
use std::ops::Range;

/// A shorter password is not told from a tag or a port.
const SHORTEST: usize = 6;
/// The digest of an image begins like this behind its `@`.
const DIGEST: &str = "sha";
const ORACLE: &str = "jdbc:oracle:";

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    // The place of the last sign that no password has in it, and those of the colon and the slash behind that.
    let mut start = 0;
    let mut colon = None;
    let mut slash = None;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b':' if colon.is_none() => colon = Some(at),
            b'/' => {
                colon = None;
                slash = Some(at);
            }
            b'@' => {
                let of_oracle = slash.filter(|slash| is_oracle(text, start..*slash, at));
                if let Some(sign) = of_oracle.or(colon) {
                    account(scan, start, sign + 1..at, found);
                }
            }
            byte if byte.is_ascii_whitespace() || b"\"'`<>,;=|&(){}".contains(&byte) => {
                start = at + 1;
                colon = None;
                slash = None;
            }
            _ => {}
        }
    }
}

/// Whether an `@` of Oracle stands at a place: before a service, behind a user that is a plain word.
fn is_oracle(text: &str, user: Range<usize>, at: usize) -> bool {
    if text[at..].starts_with("@//") {
        return text[user.start..].starts_with(ORACLE);
    }
    let host = skip_while(text, at + 1, is_of_name);
    let port = skip_while(text, host + 1, |byte| byte.is_ascii_digit());
    let is_service = byte(text, host) == b':' && port > host + 1 && byte(text, port) == b'/';
    let is_word = text[user]
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_service && is_word
}

fn account(scan: Scan<'_>, start: usize, password: Range<usize>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let host = &text[password.end + 1..];
    let has_user = password.start > start + 1 && byte_before(text, password.start - 1) != b':';
    let has_host = byte(host, 0).is_ascii_alphabetic() || host.starts_with("//");
    if has_user && has_host && !host.starts_with(DIGEST) && password.len() >= SHORTEST {
        scan.judge(NameClass::Secret, password, found);
    }
}
