//! Connections: accepted, bounded in number and in time, and ended in order.
//!
//! hyper's own limit of a head's time is also its limit of idleness, and costs a timer for each request. So one task
//! looks at all connections once a second and ends those that are too slow; and when there are too many, the oldest one
//! that never had a good answer makes room for a new one. HTTP/1.1 only: a connection is one request at a time.

mod watched;

use super::payload::Payload;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use watched::Watched;

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response<Payload>> + Send;
}

/// A head may be so long.
const MAX_HEAD: usize = 64 << 10;
/// How many seconds each state may last: shaking hands and reading a head; answering; waiting for the next request, or
/// for the caller to take the answer.
const BEGINNING: u32 = 10;
const ANSWERING: u32 = 60;
const IDLE: u32 = 90;
/// How long requests that are under way have at the end.
const GRACE: Duration = Duration::from_secs(10);

const STATE_BEGINNING: u8 = 0;
const STATE_ANSWERING: u8 = 1;
const STATE_IDLE: u8 = 2;

/// One connection, as the task sees it that looks after all of them.
#[derive(Debug)]
struct Connection {
    state: AtomicU8,
    /// When it came into its state, in seconds of [`Connections::now`].
    since: AtomicU32,
    /// Whether it ever had a good answer.
    proven: AtomicBool,
    /// Whether its socket was read until nothing was left. On a busy machine a request may lie in the socket of a new
    /// connection for long before the connection gets its turn.
    drained: AtomicBool,
    end: CancellationToken,
}

/// All connections of a listener.
#[derive(Debug)]
struct Connections {
    all: Mutex<BTreeMap<u64, Arc<Connection>>>,
    /// A clock that ticks once a second and costs nothing to read.
    now: AtomicU32,
    max: usize,
}

impl Connections {
    fn new(max: usize) -> Self {
        Self {
            all: Mutex::default(),
            now: AtomicU32::new(0),
            max,
        }
    }

    fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// Takes in a new connection; none when there is no room, and none of the others may be ended for it.
    fn admit(&self, number: u64) -> Option<Arc<Connection>> {
        let mut all = self.all.lock();
        if all.len() >= self.max {
            let number = worst(&all)?;
            if let Some(worst) = all.remove(&number) {
                worst.end.cancel();
            }
        }
        let connection = Arc::new(Connection {
            state: AtomicU8::new(STATE_BEGINNING),
            since: AtomicU32::new(self.now()),
            proven: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            end: CancellationToken::new(),
        });
        all.insert(number, connection.clone());
        Some(connection)
    }

    /// Ends those that have been in their state for too long.
    fn tick(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        for connection in self.all.lock().values() {
            let limit = match connection.state.load(Ordering::Relaxed) {
                STATE_BEGINNING => BEGINNING,
                STATE_ANSWERING => ANSWERING,
                _ => IDLE,
            };
            if now.saturating_sub(connection.since.load(Ordering::Relaxed)) > limit {
                connection.end.cancel();
            }
        }
    }
}

/// The oldest that never had a good answer, else the oldest that waits for nothing.
fn worst(all: &BTreeMap<u64, Arc<Connection>>) -> Option<u64> {
    let mut candidates = all
        .iter()
        .filter(|(_, connection)| connection.waits_for_its_caller());
    candidates
        .clone()
        .find(|(_, connection)| !connection.proven.load(Ordering::Relaxed))
        .or_else(|| candidates.next())
        .map(|(number, _)| *number)
}

impl Connection {
    fn waits_for_its_caller(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
            && self.state.load(Ordering::Relaxed) != STATE_ANSWERING
    }

    fn enter(&self, state: u8, now: u32) {
        self.since.store(now, Ordering::Relaxed);
        self.state.store(state, Ordering::Relaxed);
    }
}

/// Serves until `stop`, then finishes what is under way. A listener that fails to accept is tried again.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    max: usize,
    stop: CancellationToken,
) {
    let connections = Arc::new(Connections::new(max));
    let tasks = TaskTracker::new();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0_u64;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {
                connections.tick();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                number += 1;
                if let Some(peer) = Peer::admit(&connections, number) {
                    let handler = handler.clone();
                    tasks.spawn(converse(stream, tls.clone(), handler, peer, stop.clone()));
                }
            }
            Err(error) => {
                // Most likely there are no file descriptors left; a moment later there may be.
                tracing::warn!(%error, "a connection was not accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    // Connections that are not done by then end with the process.
    let _ = tokio::time::timeout(GRACE, tasks.wait()).await;
}

/// An admitted connection, which leaves the register when it is dropped.
struct Peer {
    number: u64,
    connection: Arc<Connection>,
    connections: Arc<Connections>,
}

impl Peer {
    fn admit(connections: &Arc<Connections>, number: u64) -> Option<Self> {
        Some(Self {
            number,
            connection: connections.admit(number)?,
            connections: connections.clone(),
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.connections.all.lock().remove(&self.number);
    }
}

async fn converse<H: Handler>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    peer: Peer,
    stop: CancellationToken,
) {
    // Answers are written whole; waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let end = peer.connection.end.clone();
    // Of its own: what is looked at with every request must not be shared by all connections.
    let stop = stop.child_token();
    let work = async {
        match tls {
            None => exchange(stream, &*handler, &peer, stop).await,
            Some(tls) => {
                peer.connection.drained.store(true, Ordering::Relaxed);
                match tls.accept(stream).await {
                    Ok(stream) => exchange(stream, &*handler, &peer, stop).await,
                    Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
                }
            }
        }
    };
    tokio::select! {
        () = end.cancelled() => tracing::debug!("a connection was ended: too slow, or to make room"),
        () = work => {}
    }
}

async fn exchange<S, H>(stream: S, handler: &H, peer: &Peer, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let Peer {
        connection,
        connections,
        ..
    } = peer;
    let watched = Watched::new(stream, connection.clone(), connections.clone());
    let service = service_fn(async |request| {
        connection.enter(STATE_ANSWERING, connections.now());
        let response = handler.handle(request).await;
        if response.status().as_u16() < 400 {
            connection.proven.store(true, Ordering::Relaxed);
        }
        connection.enter(STATE_IDLE, connections.now());
        Ok::<_, Infallible>(response)
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(MAX_HEAD);
    let mut conversation = builder.serve_connection(TokioIo::new(watched), service);
    let ended = tokio::select! {
        ended = &mut conversation => ended,
        () = stop.cancelled() => {
            std::pin::Pin::new(&mut conversation).graceful_shutdown();
            (&mut conversation).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
        conversation.into_parts().io.into_inner().part().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_make_room_before_callers_that_had_good_answers() {
        let all = Connections::new(3);
        let [first, second, third] = [1, 2, 3].map(|number| all.admit(number).expect("room"));
        for each in [&first, &second, &third] {
            each.drained.store(true, Ordering::Relaxed);
        }
        first.proven.store(true, Ordering::Relaxed);
        second.enter(STATE_ANSWERING, 0);
        let fourth = all.admit(4).expect("room");
        assert!(
            third.end.is_cancelled() && !first.end.is_cancelled() && !second.end.is_cancelled()
        );
        assert!(
            !fourth.waits_for_its_caller(),
            "its request may have come already"
        );
        let fifth = all.admit(5).expect("room");
        assert!(first.end.is_cancelled(), "it waits for nothing");
        fifth.enter(STATE_ANSWERING, 0);
        assert!(
            all.admit(6).is_none(),
            "the others are being answered, or have not had their turn"
        );
    }

    #[test]
    fn each_state_has_its_limit() {
        for (state, limit) in [
            (STATE_BEGINNING, BEGINNING),
            (STATE_ANSWERING, ANSWERING),
            (STATE_IDLE, IDLE),
        ] {
            let all = Connections::new(1);
            let connection = all.admit(1).expect("room");
            connection.enter(state, 0);
            (0..limit).for_each(|_| all.tick());
            assert!(!connection.end.is_cancelled());
            all.tick();
            assert!(connection.end.is_cancelled(), "state {state}");
        }
    }
}
