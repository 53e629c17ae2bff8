//! `revisor probe`: the probes of a pod, run inside it, over the port that nobody outside can reach.

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Shorter than the timeout of the probe in deploy/, so that the reason is printed.
const DEADLINE: Duration = Duration::from_secs(4);
/// No answer of this port is longer.
const MAX_ANSWER: u64 = 64 << 10;

/// Flags of `revisor probe`.
#[derive(Args, Debug, Clone)]
pub struct ProbeArgs {
    /// The question: whether the process answers, or whether it is ready to be asked
    #[arg(value_enum)]
    pub path: ProbePath,
    /// Where the replica has its --health-listen
    #[arg(
        long,
        env = "REVISOR_HEALTH_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    pub health_listen: SocketAddr,
}

/// A path of the port.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbePath {
    /// Whether the process answers.
    Livez,
    /// Whether its first lists are in.
    Readyz,
}

impl ProbePath {
    fn path(self) -> &'static str {
        match self {
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
        }
    }
}

/// Asks once.
///
/// # Errors
/// When the answer is no, or there is none.
pub(super) fn probe(args: &ProbeArgs) -> anyhow::Result<String> {
    let (address, path) = (args.health_listen, args.path.path());
    let answer = ask(address, path).with_context(|| format!("http://{address}{path}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let is_ok = head.split(' ').nth(1) == Some("200");
    ensure!(is_ok, "http://{address}{path}: {body}");
    Ok(format!("{body}\n"))
}

fn ask(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    // One write: a reader may take a request from the first packet.
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Asks a port that answers with `answer`.
    fn asked(answer: &'static str) -> anyhow::Result<String> {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let args = ProbeArgs {
            path: ProbePath::Readyz,
            health_listen: port.local_addr().expect("an address"),
        };
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = port.accept().expect("a connection");
            let mut head = [0; 1024];
            let length = stream.read(&mut head).expect("a request");
            assert!(head[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).expect("written");
        });
        let result = probe(&args);
        answering.join().expect("no panic");
        result
    }

    #[test]
    fn a_probe_is_good_only_when_the_answer_is_200() {
        let good = asked("HTTP/1.1 200 OK\r\n\r\nok").expect("it is ready");
        assert_eq!(good, "ok\n");
        let bad = asked("HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready, waiting for: x");
        let bad = bad.expect_err("it is not ready").to_string();
        assert!(bad.ends_with("/readyz: not ready, waiting for: x"), "{bad}");
        assert!(asked("").is_err());
    }

    #[test]
    fn a_port_that_is_not_there_is_named() {
        let address = {
            let port = TcpListener::bind("127.0.0.1:0").expect("a port");
            port.local_addr().expect("an address")
        };
        let args = ProbeArgs {
            path: ProbePath::Livez,
            health_listen: address,
        };
        let error = format!("{:#}", probe(&args).expect_err("nobody is there"));
        assert!(
            error.contains(&format!("http://{address}/livez")),
            "{error}"
        );
    }
}
