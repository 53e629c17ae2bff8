//! The time that a text takes grows as its length does, also for texts that are made to be slow.

use super::*;
use crate::clock;
use std::time::Duration;

const SHORT: usize = 10_000;
const LONG: usize = 10 * SHORT;
/// A text that is ten times as long takes at most so many times as long.
const TARGET: u32 = 20;
/// Other programs run on the machine that the tests run on.
const SLACK: u32 = 4;
/// A shorter time cannot be measured.
const LEAST: Duration = Duration::from_millis(2);

/// Texts are made of these, each repeated.
const UNITS: &[&str] = &[
    "value of a setting ",
    "NAME=value other=1\n",
    " --api-key x1y2z3",
    "{\"password\":\"x\",\"a\":1},",
    "{\"password\":",
    "[",
    "{",
    "a: {",
    "token=[",
    "token={a:[",
    "\"",
    "'",
    "\\\"",
    "'\\'\" ",
    "x://a:b",
    "x://a@b ",
    "x://a:b/",
    "token=$(",
    "token=${x",
    "token='''$",
    "a: \"b\n",
    "- ",
    "- - x\n",
    "a:\n",
    "cat <<EOF\n",
    "<<",
    "\\",
    "password ",
    "-----BEGIN PRIVATE KEY",
    "PRIVATE KEY ",
    "<name>",
    "<a b=\"",
    "hf_",
    "eyJ.",
    "a.eyJaaaaaaaaaaaaaaaa",
    "authorization: x ",
    "Basic aaaaaaaa ",
    "a:b@c ",
    "echo x | ",
    "é",
];

fn time(text: &str) -> Duration {
    let names = Names::default();
    let once = || {
        let started = clock::monotonic();
        assert!(!names.text(text).is_empty());
        started.elapsed()
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

#[test]
fn ten_times_the_text_takes_about_ten_times_as_long() {
    for unit in UNITS {
        let [short, long] = [SHORT, LONG].map(|length| time(&unit.repeat(length / unit.len())));
        let most = short.max(LEAST) * TARGET * SLACK;
        assert!(long <= most, "{unit:?}: {short:?}, {long:?}");
    }
}
