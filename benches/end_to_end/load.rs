//! Requests as fast as they are answered, over connections that stay: wrk (<https://github.com/wg/wrk>) asks.

use std::fmt::Display;
use std::io::Write;
use std::process::Command;
use std::time::Duration;
use tempfile::NamedTempFile;

const THREADS: usize = 2;
pub(crate) const CONNECTIONS: usize = 32;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/end_to_end/load.lua");

/// What is asked for in turn, each with the same token.
pub(crate) struct Requests(NamedTempFile);

impl Requests {
    pub(crate) fn new(token: &str, paths: impl IntoIterator<Item = impl Display>) -> Self {
        let mut file = NamedTempFile::new().expect("a file");
        writeln!(file, "{token}").expect("written");
        for path in paths {
            writeln!(file, "{path}").expect("written");
        }
        file.flush().expect("written");
        Self(file)
    }
}

/// How fast the answers came.
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) p99: Duration,
}

/// Ends at once, not after minutes, where there is no wrk.
pub(crate) fn check() {
    let found = Command::new("wrk").arg("--version").output();
    assert!(
        found.is_ok(),
        "wrk is not there: it is the package wrk of most distributions, https://github.com/wg/wrk"
    );
}

/// Asks for `time`; fails when one answer is no good one.
pub(crate) fn run(origin: &str, requests: &Requests, time: Duration) -> Rate {
    let mut wrk = Command::new("wrk");
    wrk.args([
        "--threads",
        &THREADS.to_string(),
        "--connections",
        &CONNECTIONS.to_string(),
    ]);
    wrk.args([
        "--duration",
        &format!("{}s", time.as_secs()),
        "--timeout",
        "60s",
    ]);
    let output = wrk
        .args(["--script", SCRIPT, origin, "--"])
        .arg(requests.0.path())
        .output()
        .expect("wrk");
    let text = String::from_utf8_lossy(&output.stdout);
    let result = text.lines().find_map(|line| line.strip_prefix("result "));
    let result =
        result.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let numbers: Vec<f64> = result
        .split(' ')
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [answers, micros, p99, wrong] = numbers[..] else {
        panic!("{text}")
    };
    assert!(answers > 0.0 && wrong < 1.0, "{text}");
    Rate {
        per_second: answers / micros * 1e6,
        p99: Duration::from_secs_f64(p99 / 1e6),
    }
}
