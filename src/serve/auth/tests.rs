//! The authenticator before an API server that counts, waits and fails as it is told.

use super::*;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use tower::service_fn;

const HANG: Duration = Duration::from_secs(60);

/// What the API server saw. `hang`, `down` and `no` in a token or a namespace say what comes of it.
#[derive(Default)]
struct Seen {
    reviews: Mutex<Vec<Value>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    takes: Duration,
}

impl Seen {
    fn count(&self) -> usize {
        self.reviews.lock().len()
    }

    fn last(&self) -> Value {
        self.reviews.lock().last().expect("a review")["spec"].clone()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let bytes = request
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        let review: Value = serde_json::from_slice(&bytes).expect("JSON");
        self.reviews.lock().push(review.clone());
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let spec = &review["spec"];
        let token = spec["token"].as_str();
        let about = token
            .or(spec["resourceAttributes"]["namespace"].as_str())
            .unwrap_or_default();
        tokio::time::sleep(if about.contains("hang") {
            HANG
        } else {
            self.takes
        })
        .await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        // A token of the API server's own audience is not valid for another.
        let foreign = about.contains("own-audience") && !spec["audiences"].is_null();
        let yes = !about.contains("no") && !foreign;
        let status = if about.contains("down") {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::CREATED
        };
        let answer = match token {
            Some(token) => {
                let name = token.split('.').next();
                let user = json!({"username": name, "uid": "1", "groups": ["a", "b"], "extra": {"id": [token], "scopes": ["x", "y"]}});
                json!({"spec": {}, "status": {"authenticated": yes, "user": user, "audiences": spec["audiences"]}})
            }
            None => json!({"spec": {}, "status": {"allowed": yes}}),
        };
        let body = Body::from(answer.to_string().into_bytes());
        Response::builder()
            .status(status)
            .body(body)
            .expect("a response")
    }
}

fn authenticator(takes: Duration, rate: Option<u32>) -> (Authenticator, Arc<Seen>) {
    let seen = Arc::new(Seen {
        takes,
        ..Seen::default()
    });
    let server = seen.clone();
    let service = service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move { Ok::<_, std::io::Error>(server.answer(request).await) }
    });
    let reviews = Reviews::new(Client::new(service, "default"), Vec::new());
    (
        Authenticator::new(reviews, rate, &Metrics::new()).expect("randomness"),
        seen,
    )
}

fn quick() -> (Authenticator, Arc<Seen>) {
    authenticator(Duration::ZERO, None)
}

fn bearer(token: &str) -> HeaderMap {
    [(
        http::header::AUTHORIZATION,
        format!("Bearer {token}").parse().expect("a value"),
    )]
    .into_iter()
    .collect()
}

fn list(namespace: &str) -> AccessRequest {
    AccessRequest {
        verb: "list",
        target: Target::Revisions(namespace.into()),
    }
}

fn status<T>(result: &Result<T, ApiError>) -> u16 {
    result
        .as_ref()
        .map_or_else(|error| error.status().as_u16(), |_| 200)
}

#[tokio::test]
async fn many_who_ask_the_same_at_once_make_one_review() {
    let (auth, seen) = authenticator(Duration::from_millis(100), None);
    let all = futures::future::join_all((0..50).map(|_| auth.holder("ann"))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(seen.count(), 1);
    let ann = all[0].clone().expect("valid");
    let all = futures::future::join_all((0..50).map(|_| auth.authorize(&ann, list("a")))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(seen.count(), 2);
}

#[tokio::test]
async fn no_more_than_twenty_reviews_are_under_way() {
    let (auth, seen) = authenticator(Duration::from_millis(30), None);
    let names: Vec<_> = (0..40).map(|i| format!("old{i}")).collect();
    let mut known = Vec::new();
    for chunk in names.chunks(8) {
        known.extend(futures::future::join_all(chunk.iter().map(|name| auth.holder(name))).await);
    }
    auth.callers.invalidate_all();
    let strangers =
        futures::future::join_all((0..200).map(async |i| auth.holder(&format!("new{i}")).await));
    let friends = futures::future::join_all(names.iter().map(|name| auth.holder(name)));
    let rights = futures::future::join_all(known.iter().map(async |caller| {
        let caller = caller.as_ref().expect("valid");
        for i in 0..5 {
            auth.authorize(caller, list(&format!("n{i}"))).await?;
        }
        Ok::<_, ApiError>(())
    }));
    let (strangers, friends, rights) = tokio::join!(strangers, friends, rights);
    assert!(
        strangers.iter().chain(&friends).all(Result::is_ok) && rights.iter().all(Result::is_ok)
    );
    assert_eq!(
        seen.most.load(Ordering::SeqCst),
        20,
        "all permits are used, and no more"
    );
}

#[tokio::test]
async fn permits_are_kept_for_tokens_that_were_valid_and_for_rights() {
    let (auth, _) = quick();
    let ann = auth.holder("ann").await.expect("valid");
    auth.callers.invalidate_all();
    let names: Vec<_> = (0..30).map(|i| format!("hang{i}")).collect();
    let strangers = futures::future::join_all(names.iter().map(|name| auth.holder(name)));
    let others = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let started = crate::clock::monotonic();
        assert!(auth.holder("ann").await.is_ok() && auth.authorize(&ann, list("a")).await.is_ok());
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        let stranger = auth.holder("bob").await.expect_err("no permit");
        assert_eq!(
            stranger.to_string(),
            "too many unknown tokens are waiting to be reviewed",
            "it waits for two seconds only"
        );
    };
    tokio::select! { _ = strangers => panic!("they hang"), () = others => {} }
}

#[tokio::test]
async fn one_caller_cannot_take_all_permits_for_rights() {
    let (auth, _) = quick();
    let ann = auth.holder("ann").await.expect("valid");
    let bob = auth.holder("bob").await.expect("valid");
    let hanging = futures::future::join_all(
        (0..30).map(async |i| auth.authorize(&ann, list(&format!("hang{i}"))).await),
    );
    let others = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let started = crate::clock::monotonic();
        assert_eq!(status(&auth.authorize(&bob, list("a")).await), 200);
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        let refused = auth
            .authorize(&ann, list("a"))
            .await
            .expect_err("no permit");
        assert_eq!(
            refused.to_string(),
            "too many rights are waiting to be reviewed"
        );
    };
    tokio::select! { _ = hanging => panic!("they hang"), () = others => {} }
}

#[tokio::test]
async fn answers_are_kept_and_errors_are_not() {
    let (auth, seen) = quick();
    for _ in 0..3 {
        assert_eq!(status(&auth.holder("down").await), 503);
    }
    assert_eq!(seen.count(), 3);
    let ann = auth.holder("ann").await.expect("valid");
    for _ in 0..3 {
        assert_eq!(status(&auth.holder("ann").await), 200);
        assert_eq!(status(&auth.holder("no").await), 401);
    }
    assert_eq!(seen.count(), 5);
    for _ in 0..3 {
        assert_eq!(status(&auth.authorize(&ann, list("down")).await), 503);
    }
    assert_eq!(seen.count(), 8);
    for _ in 0..3 {
        assert_eq!(status(&auth.authorize(&ann, list("a")).await), 200);
        assert_eq!(status(&auth.authorize(&ann, list("no")).await), 403);
    }
    assert_eq!(seen.count(), 10);
    assert_eq!(
        status(&auth.authorize(&ann, list("b")).await),
        200,
        "another question"
    );
    assert_eq!(seen.count(), 11);
}

#[tokio::test]
async fn what_is_large_is_not_kept() {
    let (auth, seen) = quick();
    let ann = auth.holder("ann").await.expect("valid");
    let large = format!("no{}", "x".repeat(MAX_KEPT));
    for _ in 0..3 {
        assert_eq!(status(&auth.authorize(&ann, list(&large)).await), 403);
    }
    auth.verdicts.run_pending_tasks().await;
    assert_eq!((seen.count(), auth.verdicts.entry_count()), (4, 0));
    let long = format!("ann.{}", "x".repeat(MAX_KEPT));
    let ann = auth.holder(&long).await.expect("valid");
    for _ in 0..3 {
        assert_eq!(status(&auth.authorize(&ann, list("a")).await), 200);
    }
    auth.verdicts.run_pending_tasks().await;
    assert_eq!((seen.count(), auth.verdicts.entry_count()), (8, 0));
}

#[tokio::test]
async fn the_api_server_is_told_all_of_the_caller() {
    let (auth, seen) = quick();
    let ann = auth.holder("ann.7").await.expect("valid");
    assert_eq!(seen.last()["token"], "ann.7");
    auth.authorize(&ann, list("a")).await.expect("allowed");
    let told = seen.last();
    assert_eq!(
        told,
        json!({
            "user": "ann", "uid": "1", "groups": ["a", "b"], "extra": {"id": ["ann.7"], "scopes": ["x", "y"]},
            "resourceAttributes": {"verb": "list", "group": "revisor.dev", "version": "v1alpha1", "resource": "revisions", "namespace": "a"},
        })
    );
    // Another token of the same account has other extra, which may narrow what it may.
    let other = auth.holder("ann.8").await.expect("valid");
    auth.authorize(&other, list("a")).await.expect("allowed");
    assert_eq!(seen.last()["extra"]["id"], json!(["ann.8"]));
    auth.authorize(&ann, list("")).await.expect("allowed");
    assert!(
        seen.last()["resourceAttributes"].get("namespace").is_none(),
        "all namespaces"
    );
}

#[tokio::test]
async fn caches_are_bounded() {
    let (auth, _) = quick();
    for i in 0..TOKENS + 5_000 {
        let mut tag = Tag::default();
        tag[..8].copy_from_slice(&i.to_be_bytes());
        auth.callers.insert(tag, None).await;
        if i < ACCESSES + 5_000 {
            auth.verdicts.insert((tag, list("a")), false).await;
        }
    }
    auth.callers.run_pending_tasks().await;
    auth.verdicts.run_pending_tasks().await;
    assert!(auth.callers.entry_count() <= TOKENS && auth.verdicts.entry_count() <= ACCESSES);
    assert!(
        auth.callers.entry_count() > TOKENS / 2,
        "they were not kept at all"
    );
}

#[tokio::test]
async fn answers_count_for_ten_seconds() {
    let (auth, seen) = quick();
    let started = crate::clock::monotonic();
    let ann = auth.holder("ann").await.expect("valid");
    auth.authorize(&ann, list("a")).await.expect("allowed");
    assert_eq!(status(&auth.authorize(&ann, list("no")).await), 403);
    let ask = async || {
        let _ = (
            auth.holder("ann").await,
            auth.authorize(&ann, list("a")).await,
        );
        let _ = auth.authorize(&ann, list("no")).await;
        seen.count()
    };
    tokio::time::sleep(Duration::from_secs(8).saturating_sub(started.elapsed())).await;
    assert_eq!(ask().await, 3, "asked again after {:?}", started.elapsed());
    tokio::time::sleep(Duration::from_millis(10_300).saturating_sub(started.elapsed())).await;
    assert_eq!(ask().await, 6, "still kept after {:?}", started.elapsed());
}

#[tokio::test]
async fn tokens_of_one_account_share_what_it_may() {
    let (auth, _) = authenticator(Duration::ZERO, Some(1));
    let mut admitted = 0;
    for i in 0..10 {
        let token = if i % 2 == 0 { "ann.1" } else { "ann.2" };
        admitted += usize::from(auth.authenticate(&bearer(token)).await.is_ok());
    }
    assert_eq!(admitted, 3, "one a second, and three of them at once");
    assert!(auth.authenticate(&bearer("bob.1")).await.is_ok());
}

#[tokio::test]
async fn tokens_of_the_api_server_are_taken_only_where_every_audience_is() {
    let audiences = || vec!["revisor.dev".to_owned()];
    let make = |reviews: fn(Client, Vec<String>) -> Reviews| {
        let seen = Arc::new(Seen::default());
        let answering = seen.clone();
        let service = service_fn(move |request: Request<Body>| {
            let seen = answering.clone();
            async move { Ok::<_, std::convert::Infallible>(seen.answer(request).await) }
        });
        let client = Client::new(service, "default");
        let reviews = reviews(client, audiences());
        let authenticator = Authenticator::new(reviews, None, &Metrics::new());
        (authenticator.expect("randomness"), seen)
    };
    let (rest, seen) = make(Reviews::new);
    assert!(rest.holder("a.own-audience").await.is_err());
    assert_eq!(seen.last()["audiences"], json!(["revisor.dev"]));
    assert!(rest.holder("a.for-revisor").await.is_ok());
    let (metrics, seen) = make(Reviews::of_any_audience);
    assert!(metrics.holder("a.own-audience").await.is_ok());
    assert_eq!(seen.count(), 2);
    assert!(metrics.holder("a.for-revisor").await.is_ok());
    assert_eq!(seen.count(), 3, "one review was enough");
    assert!(metrics.holder("no.own-audience").await.is_err());
}
