//! A crowd of slow, guessing, eager and curious callers: none of them keeps a valid one out, or costs much memory.

use super::limits::Fared;
use super::people::People;
use super::rest::Rest;
use super::stage::workload;
use crate::support::{Revisor, world};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How often a request is sent. A connection that waits for its caller may be ended at any time to make room, and on a
/// busy machine all of them wait for their callers; and 503 asks to come again.
const TRIES: usize = 10;

/// Opens a connection and sends a byte from time to time until it is cut off; for how long it was there.
async fn slow(port: u16) -> Duration {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a socket");
    let started = Instant::now();
    while stream.write_all(b"x").await.is_ok() && started.elapsed() < Duration::from_secs(60) {
        let mut byte = [0; 1];
        if matches!(
            timeout(Duration::from_secs(2), stream.read(&mut byte)).await,
            Ok(Ok(0) | Err(_))
        ) {
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

/// One request after the other over one connection, and over another when that is cut off; again after 503.
async fn converse(port: u16, heads: &[String]) -> Vec<u16> {
    let mut codes = Vec::new();
    let mut open: Option<TcpStream> = None;
    for head in heads {
        for left in (0..TRIES).rev() {
            let mut stream = match open.take() {
                Some(stream) => stream,
                None => match TcpStream::connect(("127.0.0.1", port)).await {
                    Ok(stream) => stream,
                    Err(_) => continue,
                },
            };
            let Some(code) = exchange(&mut stream, head).await else {
                continue;
            };
            open = Some(stream);
            if code != 503 || left == 0 {
                codes.push(code);
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    codes
}

async fn exchange(stream: &mut TcpStream, head: &str) -> Option<u16> {
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = Vec::with_capacity(8 << 10);
    loop {
        if timeout(Duration::from_secs(60), stream.read_buf(&mut answer))
            .await
            .ok()?
            .ok()?
            == 0
        {
            return None;
        }
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
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

/// Callers that come at once: slow sockets, guessed tokens, a known caller over many connections, a curious one.
struct Crowd {
    slow: JoinHandle<(usize, Duration)>,
    random: JoinHandle<[usize; 4]>,
    known: JoinHandle<[usize; 4]>,
    curious: JoinHandle<[usize; 4]>,
}

impl Crowd {
    fn start(port: u16, path: &str, people: &People) -> Self {
        let guessed = path.to_owned();
        let read = path.to_owned();
        let token = people.reader.clone();
        let elsewhere = people.elsewhere.clone();
        let guess = move |c, r| request(&guessed, &format!("{c}.{r}.{}", fastrand::u64(..)));
        let wonder = || format!("/api/revisor/v1/workloads?namespace=n{}", fastrand::u64(..));
        Self {
            slow: tokio::spawn(slow_ones(port)),
            random: tokio::spawn(async move { flood(port, 100, 1_000, guess).await }),
            known: tokio::spawn(async move {
                flood(port, 1_000, 24, |_, _| request(&read, &token)).await
            }),
            curious: tokio::spawn(async move {
                flood(port, 50, 100, |_, _| request(&wonder(), &elsewhere)).await
            }),
        }
    }

    fn is_over(&self) -> bool {
        let floods = [&self.random, &self.known, &self.curious];
        self.slow.is_finished() && floods.iter().all(|flood| flood.is_finished())
    }

    /// Every request got one of the answers that it may get, and each one of a known caller was answered.
    async fn assert_held_off(self) {
        let (opened, longest) = self.slow.await.expect("all sockets were opened");
        let [_, refused, crowded, other] = self.random.await.expect("ended");
        let [good, unread, busy, bad] = self.known.await.expect("ended");
        let [none, unknown, queued, forbidden] = self.curious.await.expect("ended");
        println!(
            "random: {refused} refused, {crowded} crowded; known: {good} answered, {busy} queued; curious: {forbidden} forbidden, {queued} queued"
        );
        assert_eq!(opened, 2_000);
        // Four times the ten seconds that a handshake may take.
        assert!(
            longest < Duration::from_secs(40),
            "a slow socket was there for {longest:?}"
        );
        assert!(
            refused + crowded > 90_000 && other == 0,
            "{refused} {crowded} {other}"
        );
        assert!(
            good > 22_000 && good + busy == 24_000 && unread + bad == 0,
            "{good} {busy} {unread} {bad}"
        );
        assert!(
            forbidden + queued > 4_500 && none + unknown == 0,
            "{forbidden} {queued} {none} {unknown}"
        );
    }
}

/// How many slow sockets were opened, and for how long the longest was there.
async fn slow_ones(port: u16) -> (usize, Duration) {
    let mut all: FuturesUnordered<_> = (0..2_000).map(|_| slow(port)).collect();
    let mut opened = 0;
    let mut longest = Duration::ZERO;
    while let Some(time) = all.next().await {
        opened += 1;
        longest = longest.max(time);
    }
    (opened, longest)
}

/// 2,000 slow sockets, 100,000 random tokens, 24,000 requests over 1,000 connections, and one with a valid token that
/// asks for namespaces that nobody asked for before, while a valid caller goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_costs_little_and_keeps_nobody_out() {
    const MAX_GROWTH: usize = 256 << 20;
    let world = world();
    let namespace = world.namespace("crowd").await;
    let server = Revisor::start_secure(world.cluster.kubeconfig(), &["--plain-http"]);
    let people = People::of(world, &namespace).await;
    let made = workload(world, &server, &namespace).await;
    let path = format!("/api/v1/workloads/inferences/{}/revisions", made.uid);
    let valid = Rest::at(&format!("http://127.0.0.1:{}", server.rest)).with(&people.reader);
    assert_eq!(valid.get(&path).await.status, 200);
    let idle = server.resident();
    let port = server.rest;
    let crowd = Crowd::start(port, &path, &people);
    let mut fared = Fared::default();
    let mut most = idle;
    while !crowd.is_over() {
        fared.ask(&valid, &path).await;
        most = most.max(server.resident());
        sleep(Duration::from_millis(100)).await;
    }
    crowd.assert_held_off().await;
    println!("valid: {fared:?}; +{} MiB", (most - idle) >> 20);
    fared.assert_well();
    assert!(
        most - idle < MAX_GROWTH,
        "grew by {} MiB",
        (most - idle) >> 20
    );
}
