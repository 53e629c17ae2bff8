//! An API server that answers as it is told.

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use std::sync::{Arc, Mutex};

/// What it answers: a status and a body, a broken connection, or silence.
#[derive(Clone, Debug)]
pub enum Answer {
    Body(u16, String),
    RetryAfter(u16, u64),
    Broken,
}

impl Answer {
    pub fn status(code: u16, reason: &str, message: &str) -> Self {
        let status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
        });
        Self::Body(code, status.to_string())
    }
}

/// What was asked: `METHOD path?query`, and the body.
pub type Log = Arc<Mutex<Vec<(String, String)>>>;

/// A client whose requests are answered by `answer`; it is given the request line, the body, and how often that line
/// was seen before.
pub fn client(answer: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static) -> (Client, Log) {
    let log = Log::default();
    let (answer, seen) = (Arc::new(answer), log.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let bytes = request.into_body().collect().await?.to_bytes();
            let body = String::from_utf8_lossy(&bytes).into_owned();
            let before = {
                let mut seen = seen.lock().expect("no panic");
                let before = seen.iter().filter(|(l, b)| *l == line && *b == body).count();
                seen.push((line.clone(), body.clone()));
                before
            };
            respond(answer(&line, &body, before))
        }
    });
    (Client::new(service, "default"), log)
}

fn respond(answer: Answer) -> Result<Response<Body>, tower::BoxError> {
    match answer {
        Answer::Body(code, text) => {
            Ok(Response::builder().status(code).body(Body::from(text.into_bytes()))?)
        }
        Answer::RetryAfter(code, seconds) => {
            Ok(Response::builder().status(code).header("retry-after", seconds).body(Body::empty())?)
        }
        Answer::Broken => Err("the connection was reset".into()),
    }
}
