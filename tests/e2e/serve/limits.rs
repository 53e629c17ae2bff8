//! What too many callers, too slow ones and too eager ones can do: nothing to the others.

use super::contract::workload;
use super::people::People;
use super::rest::{Answer, Rest};
use crate::support::{Revisor, world};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::Method;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Resident memory in bytes.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<usize>().ok()).expect("a number") << 10
}

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
    refused.assert_error(503, "more requests a second");
    assert_eq!(Rest::tls(server.rest).with(&people.reader).get("/openapi.json").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_long_or_not_http_end_the_connection() {
    let server = super::contract::secure();
    let plain = Revisor::start(world().cluster.kubeconfig(), &[]);
    for text in [
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(200_000)),
        "\0\u{1}\u{2}garbage\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
    ] {
        for port in [plain.rest, plain.admin, server.rest] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
            let _ = stream.write_all(text.as_bytes()).await;
            let mut answer = Vec::new();
            let ended = timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "the connection to {port} was not ended");
        }
    }
    assert!(plain.is_alive() && server.is_alive());
}

/// Sends a byte from time to time until it is cut off; for how long it was there.
async fn slow(port: u16) -> Duration {
    let started = Instant::now();
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return started.elapsed() };
    while stream.write_all(b"x").await.is_ok() && started.elapsed() < Duration::from_secs(60) {
        let mut byte = [0; 1];
        if matches!(timeout(Duration::from_secs(2), stream.read(&mut byte)).await, Ok(Ok(0) | Err(_))) {
            break;
        }
    }
    started.elapsed()
}

/// Sends `each` requests over each of `connections`; how many of `status` came back.
async fn flood(
    port: u16,
    connections: usize,
    each: usize,
    head: impl Fn(usize, usize) -> String,
) -> [usize; 4] {
    let mut all = FuturesUnordered::new();
    for connection in 0..connections {
        let heads: Vec<_> = (0..each).map(|request| head(connection, request)).collect();
        all.push(async move { converse(port, &heads).await });
    }
    let mut counts = [0; 4];
    while let Some(codes) = all.next().await {
        for code in codes {
            counts[match code {
                200 => 0,
                401 => 1,
                503 => 2,
                _ => 3,
            }] += 1;
        }
    }
    counts
}

/// One request after the other over one connection, and over another when that is cut off.
async fn converse(port: u16, heads: &[String]) -> Vec<u16> {
    let mut codes = Vec::new();
    let mut open: Option<TcpStream> = None;
    for head in heads {
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(stream) => stream,
                Err(_) => continue,
            },
        };
        if let Some(code) = exchange(&mut stream, head).await {
            codes.push(code);
            open = Some(stream);
        }
    }
    codes
}

async fn exchange(stream: &mut TcpStream, head: &str) -> Option<u16> {
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = Vec::with_capacity(8 << 10);
    loop {
        if timeout(Duration::from_secs(60), stream.read_buf(&mut answer)).await.ok()?.ok()? == 0 {
            return None;
        }
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))?
            .trim()
            .parse::<usize>()
            .ok()?;
        if answer.len() >= end + 4 + length {
            return head.split(' ').nth(1)?.parse().ok();
        }
    }
}

fn request(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// 2,000 slow sockets, 100,000 random tokens, and 24,000 requests over 1,000 connections, while a valid caller goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_costs_little_and_keeps_nobody_out() {
    const MAX_GROWTH: usize = 256 << 20;
    let world = world();
    let namespace = world.namespace("crowd").await;
    let server = Revisor::start_secure(world.cluster.kubeconfig(), &["--plain-http"]);
    let (people, made) = (People::of(world, &namespace).await, workload(world, &server, &namespace).await);
    let path = format!("/api/v1/workloads/inferences/{}/revisions", made.uid);
    let valid = Rest::at(&format!("http://127.0.0.1:{}", server.rest)).with(&people.reader);
    assert_eq!(valid.get(&path).await.status, 200);
    let (idle, port) = (resident(server.pid), server.rest);
    let sockets = tokio::spawn(async move {
        let mut all: FuturesUnordered<_> = (0..2_000).map(|_| slow(port)).collect();
        let mut longest = Duration::ZERO;
        while let Some(time) = all.next().await {
            longest = longest.max(time);
        }
        longest
    });
    let (there, token) = (path.clone(), people.reader.clone());
    let random = tokio::spawn({
        let path = path.clone();
        async move {
            flood(port, 100, 1_000, |c, r| request(&path, &format!("{c}.{r}.{}", fastrand::u64(..)))).await
        }
    });
    let known = tokio::spawn(async move { flood(port, 1_000, 24, |_, _| request(&there, &token)).await });
    let (mut asked, mut slowest, mut most) = (0, Duration::ZERO, idle);
    while !(sockets.is_finished() && random.is_finished() && known.is_finished()) {
        let started = Instant::now();
        let answer = valid.try_ask(Method::GET, &path, &[], "").await;
        // A connection that waits for nothing may have made room for another; the next one is open to everybody.
        if let Ok(answer) = answer {
            assert_eq!(answer.status, 200, "{answer:?}");
            (asked, slowest) = (asked + 1, slowest.max(started.elapsed()));
        }
        most = most.max(resident(server.pid));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let longest = sockets.await.expect("ended");
    let ([_, refused, crowded, other], [good, _, _, bad]) =
        (random.await.expect("ended"), known.await.expect("ended"));
    println!(
        "random: {refused} refused, {crowded} crowded; known: {good}; valid: {asked}, slowest {slowest:?}; +{} MiB",
        (most - idle) >> 20
    );
    assert!(longest < Duration::from_secs(30), "a slow socket was there for {longest:?}");
    assert!(refused + crowded > 90_000 && other == 0, "{refused} {crowded} {other}");
    assert!(good > 22_000 && bad == 0, "{good} {bad}");
    assert!(asked > 20 && slowest < Duration::from_secs(1), "{asked} asked, the slowest {slowest:?}");
    assert!(most - idle < MAX_GROWTH, "grew by {} MiB", (most - idle) >> 20);
}
