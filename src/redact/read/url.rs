//! URLs: the user and the password before the host, and the paths of webhooks. Parameters of the query are read as
//! assignments are. Pure.

use crate::redact::lex::{byte, skip_while};
use crate::redact::name::NameClass;
use crate::redact::scan::Scan;
use crate::redact::value;
use crate::redact::words::URLS;
use std::ops::Range;

/// Stands at the end of a text that was cut off.
const CUT: char = '…';
/// A longer scheme is none.
const MAX_SCHEME: usize = 24;

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let mut at = 0;
    // Up to here there is no `@`, so that each letter is looked at for it once.
    let mut without_user = 0;
    while let Some(sign) = text[at..].find("://").map(|found| at + found) {
        let start = sign + "://".len();
        let host = match user_end(text, start, &mut without_user) {
            Some(end) => {
                user(scan, sign, start..end, found);
                end + text[end..].chars().next().map_or(0, char::len_utf8)
            }
            None => start,
        };
        at = webhook(text, host, found).unwrap_or(host);
    }
}

/// Whether a byte is of a URL.
fn is_of_url(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !b"\"'`<>\\".contains(&byte)
}

/// The `@` behind the user. A password may have slashes in it: then a colon without a port is before them. In a text that
/// was cut off the `@` may be gone.
fn user_end(text: &str, start: usize, without_user: &mut usize) -> Option<usize> {
    let end = skip_while(text, start, |byte| {
        is_of_url(byte) && !b"/?#".contains(&byte)
    });
    let authority = &text[start..end];
    if let Some(sign) = authority.rfind('@') {
        return Some(start + sign);
    }
    let (_, password) = authority.split_once(':')?;
    let password = password.trim_end_matches(CUT);
    let is_port = password.bytes().all(|byte| byte.is_ascii_digit());
    if !is_port && authority.ends_with(CUT) {
        return Some(end - CUT.len_utf8());
    }
    if (is_port && !password.is_empty()) || authority.starts_with('[') || start < *without_user {
        return None;
    }
    let end = skip_while(text, end, is_of_url);
    *without_user = end;
    text[start..end].find('@').map(|sign| start + sign)
}

/// Judges `user:password`, and a user that is a token.
fn user(scan: Scan<'_>, sign: usize, part: Range<usize>, found: &mut Vec<Range<usize>>) {
    let text = &scan.text[part.clone()];
    if let Some((_, password)) = text.split_once(':') {
        if value::is_secret(NameClass::Secret, password) {
            found.push(part);
        }
        return;
    }
    let before = &scan.text.as_bytes()[..sign];
    let scheme = before.iter().rev().take(MAX_SCHEME);
    let length = scheme
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(byte))
        .count();
    let scheme = scan.text[sign - length..sign].to_ascii_lowercase();
    if !URLS.login_schemes.contains(&*scheme) && !URLS.users.contains(text) {
        scan.judge(NameClass::Secret, part, found);
    }
}

/// Hides the path of a webhook whose host begins here.
fn webhook(text: &str, host: usize, found: &mut Vec<Range<usize>>) -> Option<usize> {
    let end = skip_while(text, host, |byte| {
        is_of_url(byte) && !b"?#/".contains(&byte)
    });
    if byte(text, end) != b'/' {
        return None;
    }
    let shown = URLS.webhooks.iter().find_map(|webhook| {
        let (domain, path) = webhook.split_once('/')?;
        let name = text[host..end].split(':').next()?;
        let is_below = name
            .strip_suffix(domain)
            .is_some_and(|sub| sub.is_empty() || sub.ends_with('.'));
        let rest = text.get(end + 1..)?;
        (is_below && rest.starts_with(path)).then_some(end + 1 + path.len())
    })?;
    let path_end = skip_while(text, shown, |byte| {
        is_of_url(byte) && !b"?#".contains(&byte)
    });
    found.push(shown..path_end);
    Some(path_end)
}
