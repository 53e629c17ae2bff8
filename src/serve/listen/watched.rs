//! The stream of a connection: tells when a request begins, and gives hyper's own errors a body.
//!
//! hyper answers a head that it cannot read before any handler sees it, with nothing but a status. The contract wants a
//! body with every error, so that answer is replaced on its way out. Handlers never send an error without a body, so
//! that it cannot be one of theirs.

use super::super::answer;
use super::super::error::ApiError;
use super::{Connection, Connections, STATE_BEGINNING, STATE_IDLE};
use http::{HeaderMap, StatusCode};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// What is still read of a caller who was answered before the end, so that the answer is not lost.
const LEFT: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(1);

/// A stream under watch.
pub(super) struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
    connections: Arc<Connections>,
    /// An answer that replaces one of hyper's, and how much of it is sent.
    instead: Option<(Vec<u8>, usize)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    pub(super) fn new(
        stream: S,
        connection: Arc<Connection>,
        connections: Arc<Connections>,
    ) -> Self {
        Self {
            stream,
            connection,
            connections,
            instead: None,
        }
    }

    /// After an answer of its own: a connection that is closed with something unread takes the answer along.
    pub(super) async fn part(mut self) {
        if self.instead.is_none() {
            return;
        }
        let reading = async {
            let _ = self.shutdown().await;
            let mut left = LEFT;
            let mut buffer = [0; 4 << 10];
            while left > 0 {
                match self.stream.read(&mut buffer).await {
                    Ok(read) if read > 0 => left = left.saturating_sub(read),
                    _ => break,
                }
            }
        };
        let _ = timeout(PATIENCE, reading).await;
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, sent)) = &mut self.instead
            && *sent < bytes.len()
        {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[*sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *sent += count;
        }
        Poll::Ready(Ok(()))
    }
}

/// What is sent instead of an answer without a body to a request that could not be read.
fn instead(bytes: &[u8]) -> Option<Vec<u8>> {
    // Everything that is sent passes here, so what is nothing of the kind is let through at a glance.
    let head = bytes
        .strip_prefix(b"HTTP/1.1 ")
        .filter(|head| head.starts_with(b"4"))
        .and_then(|head| std::str::from_utf8(head).ok())?
        .strip_suffix("\r\n\r\n")?;
    let status: StatusCode = head.get(..3)?.parse().ok()?;
    let empty = head
        .lines()
        .any(|line| line.eq_ignore_ascii_case("content-length: 0"));
    if !empty || !status.is_client_error() {
        return None;
    }
    let mut response = answer::failure(&ApiError::Unread(status));
    answer::finish(&mut response, &answer::request_id(&HeaderMap::new()));
    let body = response.body().joined();
    let mut text = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    )
    .into_bytes();
    for (name, value) in response.headers() {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend(b"\r\n");
    text.extend(&body);
    Some(text)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.connection
            .drained
            .store(read.is_pending(), Ordering::Relaxed);
        if buf.filled().len() > before
            && self.connection.state.load(Ordering::Relaxed) == STATE_IDLE
        {
            self.connection
                .enter(STATE_BEGINNING, self.connections.now());
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(bytes) = instead(buf) {
            self.instead = Some((bytes, 0));
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // An answer without a body is one piece.
        if let [only] = bufs {
            return self.poll_write(cx, only);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_without_a_body_are_replaced() {
        let replaced = |text: &str| {
            instead(text.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("text"))
        };
        let text =
            "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\ndate: x\r\n\r\n";
        let text = replaced(text).expect("an answer of hyper's own");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.starts_with("HTTP/1.1 431 ") && head.contains("content-type: application/json"),
            "{head}"
        );
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["code"], 431);
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 20\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n{}",
            "HTTP/1.1 4",
            "",
        ] {
            assert_eq!(replaced(text), None, "{text}");
        }
    }
}
