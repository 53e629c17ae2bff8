//! A watch that was opened: its events, in order, and the faults that they meet.

use crate::etcd::{Entry, Op};
use crate::fault::{Fault, Injection};
use crate::kinds::is_workload;
use crate::network::{breaks, broken};
use crate::server::{Opened, event};
use crate::server::{shown, status_text};
use crate::world::World;
use bytes::Bytes;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, sleep_until};
use tower::BoxError;

/// The time between two bookmarks.
const EVERY: Duration = Duration::from_secs(60);
/// The end of a watch is announced by a bookmark so long before.
const BOOKMARK: Duration = Duration::from_secs(2);

type Chunks = Sender<Result<Bytes, BoxError>>;

/// The state of a watch after an event.
#[derive(PartialEq, Eq)]
enum Left {
    /// It goes on.
    Open,
    /// It has ended.
    Ended,
}

struct Watch {
    world: Arc<World>,
    replica: usize,
    opened: Opened,
    chunks: Chunks,
    /// Up to where everything was shown.
    at: u64,
    last: Option<Entry>,
}

/// Shows the events of a watch until it ends, or its reader is gone.
pub async fn show(world: Arc<World>, replica: usize, opened: Opened, chunks: Chunks) {
    let at = opened.from;
    let mut watch = Watch {
        world,
        replica,
        opened,
        chunks,
        at,
        last: None,
    };
    if watch.opened.expired {
        watch.fail(410, "Expired", "too old resource version").await;
        return;
    }
    watch.run().await;
}

impl Watch {
    async fn run(&mut self) {
        let end = Instant::now() + self.opened.lasts;
        let last_bookmark = end.checked_sub(BOOKMARK).unwrap_or(end);
        let mut bookmark = last_bookmark.min(Instant::now() + EVERY);
        let world = self.world.clone();
        let began = self.began();
        loop {
            let changed = world.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.began() != began {
                // Its server has restarted.
                return;
            }
            if self.events().await == Left::Ended {
                return;
            }
            tokio::select! {
                biased;
                () = self.chunks.closed() => return,
                () = changed => {}
                () = sleep_until(bookmark) => {
                    if bookmark == end {
                        return;
                    }
                    self.bookmark().await;
                    bookmark = if bookmark == last_bookmark {
                        end
                    } else {
                        last_bookmark.min(bookmark + EVERY)
                    };
                }
            }
        }
    }

    /// Where the cache of its server began.
    fn began(&self) -> u64 {
        self.world.state.lock().servers.servers[self.opened.server].since
    }

    /// Shows everything that is new.
    async fn events(&mut self) -> Left {
        loop {
            let next = self.next();
            let Some(entry) = next else {
                return Left::Open;
            };
            let latency = self.world.state.lock().latency();
            sleep(latency).await;
            if breaks(self.world.pass_walls(self.replica).await) {
                self.send(Err(broken())).await;
                return Left::Ended;
            }
            let fault = self
                .world
                .state
                .lock()
                .strike_event(self.replica, self.opened.kind);
            if self.deliver(&entry, fault).await == Left::Ended {
                return Left::Ended;
            }
            self.last = Some(entry);
        }
    }

    fn next(&mut self) -> Option<Entry> {
        let state = self.world.state.lock();
        let visible = state.servers.visible(self.opened.server);
        let is_ours = |entry: &&Entry| {
            entry.key.kind == self.opened.kind
                && self
                    .opened
                    .namespace
                    .as_ref()
                    .is_none_or(|of| *of == entry.key.namespace)
                && self.opened.labels.select(&entry.object.value)
        };
        let events = state.servers.etcd.since(self.at);
        let next = events
            .iter()
            .take_while(|entry| entry.at <= visible)
            .find(is_ours);
        let next = next.cloned();
        drop(state);
        self.at = next.as_ref().map_or(self.at.max(visible), |entry| entry.at);
        next
    }

    fn line(&self, entry: &Entry) -> String {
        let kind = match entry.op {
            Op::Created => "ADDED",
            Op::Updated => "MODIFIED",
            Op::Deleted => "DELETED",
        };
        event(kind, &shown(&entry.object, self.opened.metadata_only))
    }

    async fn deliver(&mut self, entry: &Entry, fault: Option<Injection>) -> Left {
        let line = self.line(entry);
        let Some(injection) = fault else {
            let kind = match entry.op {
                Op::Created => "ADDED",
                Op::Updated => "MODIFIED",
                Op::Deleted => "DELETED",
            };
            self.world
                .state
                .lock()
                .trace
                .told(self.replica, kind, entry);
            return self.send(Ok(line.into())).await;
        };
        self.struck(entry, line, injection).await
    }

    /// An event meets a fault.
    async fn struck(&mut self, entry: &Entry, line: String, injection: Injection) -> Left {
        let long = Duration::from_millis(injection.millis(60_000));
        match injection.fault {
            Fault::WatchEnds => return Left::Ended,
            Fault::WatchCutInLine => {
                let kept = line.len() * injection.size as usize / 1000;
                self.send(Ok(line.into_bytes()[..kept].to_vec().into()))
                    .await;
                self.send(Err(broken())).await;
                return Left::Ended;
            }
            Fault::WatchCutInCharacter => return self.cut_in_character(line, injection).await,
            Fault::WatchStalls => {
                sleep(Duration::from_secs(600)).await;
                return Left::Ended;
            }
            Fault::WatchExpires => {
                self.fail(410, "Expired", "too old resource version").await;
                return Left::Ended;
            }
            Fault::WatchFails => {
                self.fail(500, "InternalError", "etcdserver: no leader")
                    .await;
                return Left::Ended;
            }
            Fault::EventsLate => sleep(long).await,
            Fault::EventTwice => {
                self.send(Ok(line.clone().into())).await;
            }
            Fault::EventLost => {
                self.world.state.lock().oracle.is_deaf |= is_workload(self.opened.kind);
                return Left::Open;
            }
            Fault::EventsGoBack => {
                let older = self.last.clone().unwrap_or_else(|| entry.clone());
                self.send(Ok(line.into())).await;
                let older = self.line(&older);
                return self.send(Ok(older.into())).await;
            }
            _ => {}
        }
        self.send(Ok(line.into())).await
    }

    /// The first part of a line ends within a character, or within the line where all its characters are short.
    async fn cut_in_character(&self, line: String, injection: Injection) -> Left {
        let middle = (1..line.len()).find(|i| !line.is_char_boundary(*i));
        let bytes = line.into_bytes();
        let (first, second) = bytes.split_at(middle.unwrap_or(bytes.len() / 2));
        self.send(Ok(first.to_vec().into())).await;
        if injection.size.is_multiple_of(2) {
            sleep(Duration::from_millis(injection.millis(3_000))).await;
            return self.send(Ok(second.to_vec().into())).await;
        }
        Left::Ended
    }

    async fn bookmark(&mut self) {
        if !self.opened.bookmarks {
            return;
        }
        let kind = self.opened.kind;
        let object = json!({
            "kind": kind.kind, "apiVersion": kind.api_version(),
            "metadata": {"resourceVersion": self.at.to_string(), "creationTimestamp": null},
        });
        self.send(Ok(event("BOOKMARK", &object.to_string()).into()))
            .await;
    }

    async fn fail(&self, code: u16, reason: &str, message: &str) {
        let status = status_text(code, reason, message, &json!({}));
        self.send(Ok(event("ERROR", &status).into())).await;
    }

    async fn send(&self, chunk: Result<Bytes, BoxError>) -> Left {
        if self.chunks.send(chunk).await.is_ok() {
            Left::Open
        } else {
            Left::Ended
        }
    }
}
