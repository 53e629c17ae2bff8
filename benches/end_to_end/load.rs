//! Requests as fast as they are answered, over connections that stay: a load generator that costs little itself.

use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 32;
const TIME: Duration = Duration::from_secs(4);

/// A request as it is sent.
#[derive(Clone)]
pub(crate) struct Request(Arc<[u8]>);

impl Request {
    pub(crate) fn new(path: &str, token: &str) -> Self {
        let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        Self(text.into_bytes().into())
    }
}

/// Sends `requests` in turn; answers a second, and seconds of each.
pub(crate) async fn run(port: u16, requests: &[Request]) -> (f64, Vec<f64>) {
    let requests: Arc<[Request]> = requests.into();
    let (started, until) = (Instant::now(), Instant::now() + TIME);
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let requests = requests.clone();
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
            let mut buffer = Vec::with_capacity(64 << 10);
            let (mut times, mut next) = (Vec::new(), connection * 127);
            while Instant::now() < until {
                let sent = Instant::now();
                answer(&mut stream, &requests[next % requests.len()], &mut buffer).await;
                times.push(sent.elapsed().as_secs_f64());
                next += 1;
            }
            times
        });
    }
    let times = tasks.join_all().await.concat();
    #[allow(clippy::cast_precision_loss)]
    let count = times.len() as f64;
    (count / started.elapsed().as_secs_f64(), times)
}

/// The body of one answer.
pub(crate) async fn once(port: u16, request: &Request) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    let mut buffer = Vec::new();
    let head = answer(&mut stream, request, &mut buffer).await;
    buffer.split_off(head)
}

/// Leaves an answer in `buffer`; where its body begins.
async fn answer(stream: &mut TcpStream, request: &Request, buffer: &mut Vec<u8>) -> usize {
    stream.write_all(&request.0).await.expect("sent");
    buffer.clear();
    let mut end = None;
    loop {
        assert!(stream.read_buf(buffer).await.expect("an answer") > 0, "the connection was ended");
        if end.is_none() {
            end = head(buffer);
        }
        if let Some((body, length)) = end
            && buffer.len() >= body + length
        {
            return body;
        }
    }
}

/// Where the body begins and how long it is, once the head is complete.
fn head(buffer: &[u8]) -> Option<(usize, usize)> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..end]).expect("a head");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}{}", String::from_utf8_lossy(&buffer[end..]));
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    Some((end, length.parse().expect("a number")))
}
