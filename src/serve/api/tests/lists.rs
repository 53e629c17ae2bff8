//! Lists of workloads before callers whose rights differ.

use super::*;

/// Revisions everywhere, and Deployments in namespaces whose last digit is even.
fn rights(asked: &Value) -> bool {
    let namespace = asked["namespace"].as_str().unwrap_or_default();
    let even = namespace.ends_with(['0', '2', '4', '6', '8']);
    asked["name"].is_null()
        && match asked["resource"].as_str() {
            Some("revisions") => true,
            Some("deployments") => even,
            _ => false,
        }
}

/// One workload in each of 200 namespaces; every fourth is a StatefulSet, the others are Deployments.
fn workloads() -> Vec<Arc<WorkloadRef>> {
    (0..200)
        .map(|i| {
            let kind = if i % 4 == 0 {
                "StatefulSet"
            } else {
                "Deployment"
            };
            workload(&format!("n{i:03}"), kind, Uuid::from_u128(i))
        })
        .collect()
}

/// The namespaces of all workloads that are listed, and the number of pages.
async fn list_all(api: &Api) -> (Vec<String>, usize) {
    let mut names = Vec::new();
    let mut pages = 0;
    let mut cursor = String::new();
    loop {
        let path = format!("/api/revisor/v1/workloads?limit=1000{cursor}");
        let (status, page) = ask(api, "GET", &path, &[TOKEN]).await;
        assert_eq!(status, 200, "{page}");
        let rows = page["workloads"].as_array().expect("rows").iter();
        names.extend(rows.map(|row| row["namespace"].as_str().expect("text").to_owned()));
        pages += 1;
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (names, pages),
        }
    }
}

#[tokio::test]
async fn lists_show_only_workloads_that_the_caller_may_list_itself() {
    let cache = Fixed {
        workloads: workloads(),
        ..Fixed::default()
    };
    let (mut api, _open) = api(cache, Some(lets_in(rights)), true);
    let (names, pages) = list_all(&api).await;
    assert_eq!((names.len(), pages), (200, 1));
    api.options.check_workload = true;
    let (names, pages) = list_all(&api).await;
    let expected: Vec<_> = (0..200)
        .filter(|i| i % 4 == 2)
        .map(|i| format!("n{i:03}"))
        .collect();
    assert_eq!(
        (names, pages),
        (expected, 4),
        "200 rights in pages of at most 64"
    );
}
