//! The network between a replica and the API servers: a tower Service whose requests meet faults on their way.

use crate::call::{Call, Class};
use crate::fault::{Fault, Injection};
use crate::server::{Answer, status};
use crate::watch;
use crate::world::{Course, World, kills_after};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use std::future::pending;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tower::{BoxError, Service};

/// A connection that never answers breaks after so long: no load balancer keeps it for longer.
const LONGEST: Duration = Duration::from_secs(900);

/// The body of an answer.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

type Answered = Result<Response<AnswerBody>, BoxError>;

/// The connections of one replica.
#[derive(Clone)]
pub struct Link {
    pub world: Arc<World>,
    pub replica: usize,
}

impl Service<Request<Body>> for Link {
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Answered>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().carry(request))
    }
}

impl Link {
    async fn carry(self, request: Request<Body>) -> Answered {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let call = Call::read(&parts, body.to_vec());
        if call.is_dry_run() {
            // It stores nothing. Answered at once, and not counted, it moves nothing in the histories that are kept.
            return whole(
                self.world.write(false, |servers| servers.answer(0, &call)),
                None,
            );
        }
        let course = self.start(&parts, &call);
        let (answer, answered) = oneshot::channel();
        // A request that was sent is carried out, whatever becomes of its sender.
        tokio::spawn(async move {
            let done = self.travel(&call, course, &|| answer.is_closed()).await;
            let _ = answer.send(done);
        });
        match answered.await {
            Ok(done) => done,
            Err(_) => Err(broken()),
        }
    }

    fn start(&self, parts: &http::request::Parts, call: &Call) -> Course {
        let mut state = self.world.state.lock();
        let uri = parts.uri.to_string();
        state
            .trace
            .asked_for(self.replica, parts.method.as_str(), &uri, &call.body);
        if call.class() == Class::Event {
            state.oracle.heard(&call.body);
        }
        if call.class() == Class::Create {
            state.oracle.asked_for_revision(&call.body);
        }
        if call.class() == Class::Checkpoint && call.method != Method::GET {
            state.oracle.writes_checkpoint(self.replica);
        }
        state.course(self.replica, call)
    }

    /// There and back again. `is_gone` tells whether its sender does not wait any more.
    async fn travel(
        self,
        call: &Call,
        course: Course,
        is_gone: &(dyn Fn() -> bool + Sync),
    ) -> Answered {
        if let Some(kill) = course.kill.filter(|kill| !kill.after) {
            return self.killed(kill.request).await;
        }
        sleep(course.there).await;
        if is_lost_at(self.world.pass_walls(self.replica).await, call.class()) {
            return Err(broken());
        }
        if let Some(done) = self.meet(call, &course).await {
            return done;
        }
        self.hang(call, is_gone).await;
        let answer = self.carry_out(call, &course);
        if let Some(kill) = course.kill {
            return self.killed(kill.request).await;
        }
        if let Some(fault) = course.fault
            && kills_after(fault.fault, call.class())
        {
            self.world.kill(self.replica, fault.millis(20_000));
            return pending().await;
        }
        sleep(course.back + course.slow()).await;
        self.world.pass_walls(self.replica).await;
        self.deliver(call, answer, &course)
    }

    async fn killed(&self, request: u64) -> Answered {
        self.world
            .state
            .lock()
            .trace
            .note(&format!("KILL at request {request}"));
        self.world.kill(self.replica, 1000);
        pending().await
    }

    /// Waits while a create is not answered.
    async fn hang(&self, call: &Call, is_gone: &(dyn Fn() -> bool + Sync)) {
        let hangs = self.world.state.lock().servers.hangs(call);
        if let Some(hangs) = hangs {
            sleep(hangs).await;
            if is_gone() {
                self.world.state.lock().oracle.comes_late(&call.body);
            }
        }
    }

    fn carry_out(&self, call: &Call, course: &Course) -> Answer {
        let (answer, denied) = self.world.write(false, |servers| {
            let answer = servers.answer(course.server, call);
            (answer, servers.take_denied())
        });
        if let Some(denied) = denied {
            let mut state = self.world.state.lock();
            state.denied(self.replica, course, &denied);
        }
        answer
    }

    /// The fault that a request meets. None: it goes on.
    async fn meet(&self, call: &Call, course: &Course) -> Option<Answered> {
        let injection = course.fault?;
        let long = Duration::from_millis(injection.millis(40_000));
        match injection.fault {
            Fault::RequestLost => {
                sleep(long).await;
                return Some(Err(broken()));
            }
            Fault::AnswerLost => {
                self.carry_out(call, course);
                sleep(long).await;
                return Some(Err(broken()));
            }
            Fault::CarriedOutLate | Fault::StatusLate => {
                let link = self.clone();
                let (call, course) = (call.clone(), *course);
                tokio::spawn(async move {
                    sleep(long).await;
                    link.carry_out(&call, &course);
                });
                return Some(Err(broken()));
            }
            Fault::CompactionAtRead => self.world.compact(&injection),
            Fault::SentTwice => {
                self.carry_out(call, course);
                sleep(long / 10).await;
            }
            Fault::Hang => {
                sleep(LONGEST).await;
                return Some(Err(broken()));
            }
            _ => return self.refuse(injection, course).await,
        }
        None
    }

    async fn refuse(&self, injection: Injection, course: &Course) -> Option<Answered> {
        let mut answer = match injection.fault {
            Fault::TooManyRequests => status(429, "TooManyRequests", "too many requests"),
            Fault::InternalError => status(500, "InternalError", "etcdserver: leader changed"),
            Fault::Unavailable => status(503, "ServiceUnavailable", "apiserver not ready"),
            Fault::GatewayTimeout => status(504, "Timeout", "request did not complete within 10s"),
            Fault::Gone => status(
                410,
                "Expired",
                "The resourceVersion for the provided list is too old.",
            ),
            _ => return None,
        };
        if let Answer::Whole { retry_after, .. } = &mut answer
            && injection.fault == Fault::TooManyRequests
        {
            *retry_after = Some(injection.size / 200);
        }
        sleep(course.back).await;
        Some(whole(answer, None))
    }

    fn deliver(&self, call: &Call, answer: Answer, course: &Course) -> Answered {
        let bytes = match &answer {
            Answer::Whole { body, .. } => body.len(),
            Answer::Watch(_) => 0,
        };
        let mut state = self.world.state.lock();
        let code = answer.code();
        state
            .trace
            .answered(self.replica, course.number, code, bytes);
        if call.class() == Class::Checkpoint && call.method == Method::GET {
            state.shown_checkpoint(self.replica, course, &answer);
        }
        let opened = match answer {
            Answer::Watch(opened) => opened,
            Answer::Whole { .. } => {
                drop(state);
                let is_cut = |injection: &Injection| injection.fault == Fault::BodyCut;
                let cut = course.fault.filter(is_cut).map(|injection| injection.size);
                return whole(self.as_of_past(call, answer, course), cut);
            }
        };
        drop(state);
        let (sender, events) = mpsc::channel(16);
        tokio::spawn(watch::show(
            self.world.clone(),
            self.replica,
            opened,
            sender,
        ));
        let frames = stream::unfold(events, |mut events: mpsc::Receiver<_>| async {
            let event: Result<Bytes, BoxError> = events.recv().await?;
            Some((event.map(Frame::data), events))
        });
        let body = StreamBody::new(frames.boxed());
        Ok(Response::new(UnsyncBoxBody::new(body)))
    }

    /// A list that is answered from the past, where that is the fault.
    fn as_of_past(&self, call: &Call, answer: Answer, course: &Course) -> Answer {
        let Some(injection) = course
            .fault
            .filter(|injection| injection.fault == Fault::ListStale)
        else {
            return answer;
        };
        let mut state = self.world.state.lock();
        let now = state.servers.etcd.revision();
        let back = 1 + injection.millis(40);
        let mut past = call.clone();
        let at = now.saturating_sub(back).max(state.servers.etcd.compacted());
        past.query
            .insert("resourceVersion".to_owned(), at.to_string());
        past.query
            .insert("resourceVersionMatch".to_owned(), "Exact".to_owned());
        state.servers.answer(course.server, &past)
    }
}

/// An answer, whole or cut after so many thousandths of it.
fn whole(answer: Answer, cut: Option<u32>) -> Answered {
    let Answer::Whole {
        code,
        body,
        retry_after,
    } = answer
    else {
        return Err(broken());
    };
    let mut response = Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    let bytes = Bytes::from(body);
    let body = match cut {
        None => UnsyncBoxBody::new(Full::new(bytes).map_err(|never| match never {})),
        Some(thousandths) => {
            let kept = bytes.len() * thousandths as usize / 1000;
            let frames = [Ok(Frame::data(bytes.slice(..kept))), Err(broken())];
            UnsyncBoxBody::new(StreamBody::new(stream::iter(frames)))
        }
    };
    Ok(response.body(body)?)
}

/// Whether a request that has met this wall is never carried out. After a freeze it is carried out late, except the
/// patch of a status: that is the fault `StatusLate`.
fn is_lost_at(wall: Option<Fault>, class: Class) -> bool {
    breaks(wall) || wall == Some(Fault::Freeze) && class == Class::Status
}

/// Whether a connection that has met this wall breaks at its end.
pub fn breaks(wall: Option<Fault>) -> bool {
    matches!(wall, Some(Fault::Outage | Fault::Partition))
}

/// The error of a connection that breaks.
pub fn broken() -> BoxError {
    Box::new(std::io::Error::new(
        std::io::ErrorKind::ConnectionReset,
        "connection reset by peer",
    ))
}
