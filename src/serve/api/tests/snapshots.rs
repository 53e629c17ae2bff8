//! Whole workloads, and how two of them differ, from an API server that has them.

use super::*;

/// An API server with revisions of the workload, by generation.
fn whole(manifests: &[(i64, String)]) -> (Fixed, Arc<Server>) {
    let generations = manifests
        .iter()
        .map(|(generation, _)| (identity::id(WORKLOAD, *generation), *generation));
    let cache = Fixed {
        generations: generations.collect(),
        ..Fixed::default()
    };
    let stored: BTreeMap<_, _> = manifests
        .iter()
        .map(|(generation, text)| {
            let mut revision =
                serde_json::to_value(crate::cache::fixture(*generation)).expect("JSON");
            revision["spec"]["snapshot"] =
                json!({"encoding": "json", "size": text.len(), "data": text});
            (identity::name("w", WORKLOAD, *generation), revision)
        })
        .collect();
    (
        cache,
        Arc::new(move |path, _| {
            path.rsplit('/')
                .next()
                .and_then(|name| stored.get(name))
                .cloned()
        }),
    )
}

#[tokio::test]
async fn a_snapshot_that_is_nested_too_deeply_is_no_internal_error() {
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let (cache, server) = whole(&[(2, nested(120)), (3, nested(200)), (4, nested(5_000))]);
    let (api, _open) = api(cache, Some(server), false);
    for (generation, expected) in [(2, 200), (3, 404), (4, 404)] {
        let id = identity::id(WORKLOAD, generation);
        for accept in ["application/json", "application/yaml"] {
            let path = format!("/api/revisor/v1/revisions/{id}/snapshot");
            let response = respond(&api, "GET", &path, &[("accept", accept)]).await;
            let status = response.status().as_u16();
            let text = text(response).await;
            assert_eq!(status, expected, "{text}");
            assert!(
                status == 200 || text.contains("nested too deeply"),
                "{text}"
            );
        }
    }
    let path = format!(
        "/api/revisor/v1/revisions/{}/diff",
        identity::id(WORKLOAD, 3)
    );
    assert_eq!(ask(&api, "GET", &path, &[]).await.0, 404);
}

fn with_password(password: &str) -> String {
    let env = json!([{"name": "DB_PASSWORD", "value": password}]);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"env": env}}).to_string()
}

/// A generation, the end of a path, a media type, the number of hidden values, and the beginning of the answer.
const HIDING: [(i64, &str, &str, &str, &str); 6] = [
    (
        1,
        "snapshot",
        "application/json",
        "0",
        "{\"apiVersion\":\"apps/v1\",\"kind\":",
    ),
    (
        1,
        "snapshot",
        "application/yaml",
        "0",
        "apiVersion: apps/v1\nkind: ",
    ),
    (
        2,
        "snapshot",
        "application/json",
        "1",
        "{\"redacted\":{\"apiVersion\":\"apps/v1\",\"kind\":",
    ),
    (
        2,
        "snapshot",
        "application/yaml",
        "1",
        "# 1 value that looks secret is hidden; ",
    ),
    (
        3,
        "diff",
        "application/json",
        "1",
        "[{\"op\":\"test\",\"path\":\"/redacted\",",
    ),
    (
        3,
        "diff",
        "text/x-diff",
        "1",
        "# 1 value that looks secret is hidden; ",
    ),
];

#[tokio::test]
async fn a_hidden_value_is_counted_and_leaves_nothing_that_can_be_applied() {
    let (cache, server) = whole(&[
        (1, with_password("")),
        (2, with_password("hunter2")),
        (3, with_password("hunter3")),
    ]);
    let (api, _open) = api(cache, Some(server), false);
    for (generation, end, accept, hidden, begins) in HIDING {
        let id = identity::id(WORKLOAD, generation);
        let path = format!("/api/revisor/v1/revisions/{id}/{end}");
        let headers = [("accept", accept), ("origin", "https://ui.example")];
        let response = respond(&api, "GET", &path, &headers).await;
        assert_eq!(response.headers()["x-revisor-redacted"], hidden, "{path}");
        let exposed = &response.headers()["access-control-expose-headers"];
        assert!(
            exposed
                .to_str()
                .expect("text")
                .contains("X-Revisor-Redacted")
        );
        let text = text(response).await;
        assert!(text.starts_with(begins), "{text}");
        assert!(!text.contains("hunter"), "{text}");
    }
}

/// Few different lines in a random order, which take long to compare.
fn large(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let lines: Vec<_> = (0..60_000)
        .map(|_| format!("v{}", random.u32(..1_000)))
        .collect();
    json!({ "spec": lines }).to_string()
}

#[tokio::test]
async fn comparing_large_workloads_holds_nobody_up() {
    let (cache, server) = whole(&[(1, large(3)), (2, large(5))]);
    let (api, _open) = api(cache, Some(server), false);
    let path = format!(
        "/api/revisor/v1/revisions/{}/diff",
        identity::id(WORKLOAD, 2)
    );
    let asking = tokio::spawn(async move {
        ask(&api, "GET", &path, &[("accept", "application/json")])
            .await
            .0
    });
    let mut ticks = 0;
    let mut longest = Duration::ZERO;
    while !asking.is_finished() {
        let started = Instant::now();
        tokio::time::sleep(Duration::from_millis(5)).await;
        ticks += 1;
        longest = longest.max(started.elapsed());
    }
    assert_eq!(asking.await.expect("answered"), 200);
    // On the runtime's own thread there would be none while it compares.
    assert!(
        ticks > 3,
        "others went on {ticks} times, and waited for {longest:?} at a time"
    );
}
