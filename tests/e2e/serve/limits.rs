//! What too many callers, too slow ones and too eager ones can do: nothing to the others.

use super::people::People;
use super::rest::{Answer, Rest};
use super::stage::workload;
use crate::support::{Revisor, world};
use http::Method;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A valid caller who waits for longer waited for a deadline of somebody else: of a handshake or a head, ten seconds.
/// Anything less is the machine being busy.
const PATIENCE: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn callers_may_be_held_to_a_rate() {
    let world = world();
    let namespace = world.namespace("rate").await;
    let server = Revisor::start_secure(world.cluster.kubeconfig(), &["--rate-per-identity", "2"]);
    let people = People::of(world, &namespace).await;
    let eager = Rest::tls(server.rest).with(&people.everywhere);
    let mut refused = None;
    for _ in 0..20 {
        refused = Some(eager.get("/openapi.json").await).filter(|answer| answer.status != 200);
        if refused.is_some() {
            break;
        }
    }
    let refused: Answer = refused.expect("20 requests at once are more than 2 a second");
    refused.assert_error(429, "more requests a second");
    assert_eq!(
        Rest::tls(server.rest)
            .with(&people.reader)
            .get("/openapi.json")
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_long_or_not_http_end_the_connection() {
    let server = super::stage::secure();
    let plain = Revisor::start(world().cluster.kubeconfig(), &[]);
    for (text, status) in [
        (
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
                "y".repeat(200_000)
            ),
            431,
        ),
        ("\0\u{1}\u{2}garbage\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
    ] {
        for port in [plain.rest, plain.admin, server.rest] {
            let mut stream = TcpStream::connect(("127.0.0.1", port))
                .await
                .expect("connected");
            let _ = stream.write_all(text.as_bytes()).await;
            let mut answer = Vec::new();
            let ended = timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "the connection to {port} was not ended");
            // Over TLS nothing was ever understood.
            if port != server.rest {
                assert_unread(&String::from_utf8_lossy(&answer), status);
            }
        }
    }
    let long = "y".repeat(200_000);
    let answer = Rest::tls(server.rest)
        .get_with("/openapi.json", &[("X-Long", &long)])
        .await;
    answer.assert_error(431, "the head of the request");
    assert!(plain.is_alive() && server.is_alive());
}

/// An error as the contract has it, to a head that no handler ever saw.
fn assert_unread(answer: &str, status: u16) {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head in {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    for line in [
        "content-type: application/json",
        &format!("content-length: {}", body.len()),
        "x-request-id: ",
    ] {
        assert!(head.contains(line), "no {line} in {head}");
    }
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["code"], status, "{body}");
    assert!(body["message"].is_string(), "{body}");
}

/// How a valid caller fares among many others.
#[derive(Debug, Default)]
pub(super) struct Fared {
    answered: usize,
    /// Its connection waited for nothing, and made room for another.
    reconnected: usize,
    slowest: Duration,
}

impl Fared {
    /// Asks until it is answered, over another connection when one that waited was closed. Nothing else may fail.
    pub(super) async fn ask(&mut self, valid: &Rest, path: &str) {
        let started = Instant::now();
        let answer = loop {
            match valid.try_ask(Method::GET, path, &[], "").await {
                Ok(answer) => break answer,
                Err(error) if started.elapsed() > PATIENCE => {
                    panic!("a valid caller got no answer: {error}")
                }
                Err(_) => self.reconnected += 1,
            }
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        self.answered += 1;
        self.slowest = self.slowest.max(started.elapsed());
    }

    pub(super) fn assert_well(&self) {
        let turned_away = self.reconnected >= self.answered;
        assert!(
            self.answered > 20 && self.slowest < PATIENCE && !turned_away,
            "{self:?}"
        );
    }
}

/// Shakes hands so slowly that it never ends; for how long it was there.
async fn stalled(port: u16) -> Duration {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a socket");
    let started = Instant::now();
    // The beginning of a ClientHello of 512 bytes.
    let _ = stream.write_all(&[22, 3, 1, 2, 0, 1]).await;
    let mut byte = [0; 1];
    let _ = timeout(Duration::from_secs(60), stream.read(&mut byte)).await;
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stall_keep_nobody_out() {
    const SOCKETS: usize = 500;
    let world = world();
    let namespace = world.namespace("stalled").await;
    let server = Revisor::start_secure(world.cluster.kubeconfig(), &["--max-connections", "100"]);
    let people = People::of(world, &namespace).await;
    let made = workload(world, &server, &namespace).await;
    let path = format!("/api/v1/workloads/inferences/{}/revisions", made.uid);
    let rest = Rest::tls(server.rest).with(&people.reader);
    let port = server.rest;
    assert_eq!(rest.get(&path).await.status, 200);
    let mut fared = Fared::default();
    let mut lasted = Vec::new();
    let mut sockets = tokio::task::JoinSet::new();
    (0..SOCKETS).for_each(|_| {
        sockets.spawn(stalled(port));
    });
    while lasted.len() < SOCKETS {
        // A connection of its own each time, so that each shakes hands.
        fared
            .ask(&Rest::tls(port).with(&people.reader), &path)
            .await;
        while let Some(time) = sockets.try_join_next() {
            lasted.push(time.expect("opened"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let longest = lasted.iter().max().expect("one");
    println!("{fared:?}; the longest was there for {longest:?}");
    assert!(
        (8..20).contains(&longest.as_secs()),
        "a handshake may take 10 s: {longest:?}"
    );
    fared.assert_well();
}
