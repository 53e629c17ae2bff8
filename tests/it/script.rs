//! An API server that answers as it is told.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response, response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use std::sync::{Arc, Mutex};
use tower::BoxError;

/// What it answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Body(u16, String),
    RetryAfter(u16, u64),
    /// The connection is reset.
    Broken,
    /// Nothing, ever.
    Silent,
    /// A good answer that begins like this and never goes on.
    Stalls(String),
}

impl Answer {
    pub fn status(code: u16, reason: &str, message: &str) -> Self {
        let status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
        });
        Self::Body(code, status.to_string())
    }
}

/// The answer to a question about the Revisions of one workload: there are none.
pub fn nothing_stored(line: &str) -> Option<Answer> {
    let nothing = r#"{"metadata":{"resourceVersion":"1"},"items":[]}"#.to_owned();
    line.contains("fieldSelector=spec.workload.uid")
        .then_some(Answer::Body(200, nothing))
}

/// What was asked: `METHOD path?query`, and the body.
pub type Log = Arc<Mutex<Vec<(String, String)>>>;

/// A client whose requests are answered by `answer`; it is given the request line, the body, and how often that line
/// was seen before.
pub fn client(
    answer: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static,
) -> (Client, Log) {
    let log = Log::default();
    let answer = Arc::new(answer);
    let seen = log.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        let seen = seen.clone();
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let bytes = request.into_body().collect().await?.to_bytes();
            let body = String::from_utf8_lossy(&bytes).into_owned();
            let before = {
                let mut seen = seen.lock().expect("no panic");
                let before = seen
                    .iter()
                    .filter(|(l, b)| *l == line && *b == body)
                    .count();
                seen.push((line.clone(), body.clone()));
                before
            };
            match answer(&line, &body, before) {
                Answer::Silent => std::future::pending().await,
                answer => respond(answer),
            }
        }
    });
    (Client::new(service, "default"), log)
}

type Answered = Response<UnsyncBoxBody<Bytes, BoxError>>;

fn whole(answer: response::Builder, text: String) -> Result<Answered, BoxError> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    Ok(answer.body(body.boxed_unsync())?)
}

fn respond(answer: Answer) -> Result<Answered, BoxError> {
    match answer {
        Answer::Body(code, text) => whole(Response::builder().status(code), text),
        Answer::RetryAfter(code, seconds) => whole(
            Response::builder()
                .status(code)
                .header("retry-after", seconds),
            String::new(),
        ),
        Answer::Stalls(text) => {
            let begun = stream::iter([Ok(Frame::data(Bytes::from(text)))]);
            let body = StreamBody::new(begun.chain(stream::pending()));
            Ok(Response::builder().status(200).body(body.boxed_unsync())?)
        }
        Answer::Broken | Answer::Silent => Err("the connection was reset".into()),
    }
}
