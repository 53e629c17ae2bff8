//! The API described for machines: OpenAPI 3.1, made from the types that are sent.

mod complete;

use super::error::ErrorBody;
use super::own::{HistoryPage, Namespaces, WorkloadRow, Workloads};
use super::token::{TokenRequest, TokenResponse};
use crate::cache::wire;
use bytes::Bytes;
use serde::Serialize;
use std::sync::LazyLock;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

/// The revisions of a workload.
#[derive(Serialize, ToSchema)]
struct RevisionList<'a> {
    /// Newest first.
    revisions: Vec<wire::Wire<'a>>,
}

/// How many revisions a workload has.
#[derive(Serialize, ToSchema)]
struct RevisionCount {
    /// As many as the list has.
    #[schema(minimum = 0)]
    count: i64,
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A Kubernetes token"))
            .build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The whole API.
#[derive(OpenApi)]
#[openapi(
    info(title = "Revisor", description = "Every change of every inference workload on Kubernetes.", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(list, count, get, workloads, namespaces, history, snapshot, diff, token, openapi),
    components(schemas(ErrorBody, wire::Wire<'static>, wire::Phase, wire::GpuRequestType, WorkloadRow)),
    security(("bearer" = [])),
    servers(
        (url = "https://revisor.revisor.svc", description = "In the cluster"),
        (url = "https://localhost:8443", description = "After kubectl -n revisor port-forward service/revisor 8443:443")
    ),
    tags(
        (name = "Revisions", description = "The published contract: the chapter Revisions of the NVIDIA Run:ai REST API"),
        (name = "Revisor", description = "Revisor's own endpoints")
    ),
    modifiers(&Bearer),
)]
struct Described;

/// The description as JSON.
pub fn json() -> Bytes {
    static JSON: LazyLock<Bytes> = LazyLock::new(|| {
        let described = serde_json::to_value(Described::openapi()).map(|mut api| {
            complete::complete(&mut api);
            serde_json::to_vec_pretty(&api).unwrap_or_default()
        });
        described.map(Bytes::from).unwrap_or_default()
    });
    JSON.clone()
}

macro_rules! path {
    ($(#[$doc:meta])* $name:ident, $($path:tt)*) => {
        $(#[$doc])*
        #[utoipa::path($($path)*)]
        #[allow(dead_code)]
        fn $name() {}
    };
}

path!(
    /// The revisions of a workload, newest first
    ///
    /// A workload that is not known is 403 to callers who may not list revisions in all namespaces.
    list, get, path = "/api/v1/workloads/inferences/{workloadId}/revisions", tag = "Revisions", operation_id = "getInferenceRevisions",
    params(
        ("workloadId" = Uuid, Path, description = "Uid of the workload"),
        ("deleted" = Option<bool>, Query, description = "Only deleted revisions, or only those that are not")
    ),
    responses(
        (status = 200, body = RevisionList<'static>),
        (status = 304, description = "As If-None-Match has it"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 500, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
);
path!(
    /// How many revisions a workload has
    ///
    /// 0 for a workload that is not known.
    count, get, path = "/api/v1/workloads/inferences/{workloadId}/revisions/count", tag = "Revisions", operation_id = "countInferenceRevisions",
    params(
        ("workloadId" = Uuid, Path, description = "Uid of the workload"),
        ("deleted" = Option<bool>, Query, description = "Only deleted revisions, or only those that are not")
    ),
    responses(
        (status = 200, body = RevisionCount),
        (status = 304, description = "As If-None-Match has it"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 500, body = ErrorBody), (status = 503, body = ErrorBody)
    )
);
path!(
    /// One revision
    get, get, path = "/api/v1/workloads/inferences/revisions/{revisionId}", tag = "Revisions", operation_id = "getInferenceRevision",
    params(
        ("revisionId" = Uuid, Path, description = "Id of the revision")
    ),
    responses(
        (status = 200, body = wire::Wire<'static>),
        (status = 304, description = "As If-None-Match has it"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 500, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
);
path!(
    /// Workloads that have revisions, by namespace and name
    workloads, get, path = "/api/revisor/v1/workloads", tag = "Revisor",
    params(
        ("namespace" = Option<String>, Query, pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length = 63, description = "Only of this namespace; without it the caller needs rights in all"),
        ("kind" = Option<String>, Query, description = "Only of this kind: `Kind`, or `Kind.group` where several groups have it"),
        ("name" = Option<String>, Query, description = "Only of this name"),
        ("deleted" = Option<bool>, Query, description = "Only deleted workloads, or only those that are not"),
        ("phase" = Option<wire::Phase>, Query, description = "Only those whose newest revision is in this phase"),
        ("since" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "Only those that changed then or later"),
        ("until" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "Only those whose last change was before"),
        ("limit" = Option<i32>, Query, minimum = 1, maximum = 1000, description = "At most so many; 100 without it"),
        ("cursor" = Option<String>, Query, description = "Where to go on, from the answer before")
    ),
    responses(
        (status = 200, body = Workloads), (status = 304, description = "As If-None-Match has it"),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 500, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
);
path!(
    /// Namespaces with revisions that the caller may list, by name
    ///
    /// A page names those of at most 64 namespaces that were reviewed; it may be shorter than `limit`, or empty, and still
    /// have a cursor.
    namespaces, get, path = "/api/revisor/v1/namespaces", tag = "Revisor",
    params(
        ("limit" = Option<i32>, Query, minimum = 1, maximum = 1000, description = "At most so many; 100 without it"),
        ("cursor" = Option<String>, Query, description = "Where to go on, from the answer before")
    ),
    responses(
        (status = 200, body = Namespaces), (status = 304, description = "As If-None-Match has it"),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 500, body = ErrorBody), (status = 503, body = ErrorBody)
    )
);
path!(
    /// Everything of a workload, generations that are not recorded included
    history, get, path = "/api/revisor/v1/workloads/{workloadId}/revisions", tag = "Revisor",
    params(
        ("workloadId" = Uuid, Path, description = "Uid of the workload"),
        ("since" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "Only what was made then or later"),
        ("until" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "Only what was made before"),
        ("limit" = Option<i32>, Query, minimum = 1, maximum = 1000, description = "At most so many; 100 without it"),
        ("cursor" = Option<String>, Query, description = "Where to go on, from the answer before")
    ),
    responses(
        (status = 200, body = HistoryPage), (status = 304, description = "As If-None-Match has it"),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 500, body = ErrorBody), (status = 503, body = ErrorBody)
    )
);
path!(
    /// The workload as it was; values that look secret are hidden
    ///
    /// When one is hidden, it is no manifest that can be applied: the JSON has neither apiVersion nor kind but a field
    /// `redacted` with both, with the number of hidden values and with a command that shows them; in the YAML they are
    /// comments.
    snapshot, get, path = "/api/revisor/v1/revisions/{revisionId}/snapshot", tag = "Revisor",
    params(
        ("revisionId" = Uuid, Path, description = "Id of the revision")
    ),
    responses(
        (status = 200, content((serde_json::Value = "application/json"), (String = "application/yaml")),
            headers(("X-Revisor-Redacted" = i64, description = "How many values are hidden"))),
        (status = 304, description = "As If-None-Match has it"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 500, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
);
path!(
    /// What differs between two revisions: a JSON Patch, or a unified diff of YAML
    ///
    /// Values that look secret are hidden. A patch with a hidden value begins with a `test` that fails, so that it cannot be
    /// applied; a unified diff begins with a comment.
    diff, get, path = "/api/revisor/v1/revisions/{revisionId}/diff", tag = "Revisor",
    params(
        ("revisionId" = Uuid, Path, description = "Id of the newer revision"),
        ("from" = Option<Uuid>, Query, description = "Id of the revision to compare with; the one before without it")
    ),
    responses(
        (status = 200, content((Vec<serde_json::Value> = "application/json"), (Vec<serde_json::Value> = "application/json-patch+json"), (String = "text/x-diff")),
            headers(("X-Revisor-Redacted" = i64, description = "How many values are hidden in one or in both of the revisions"))),
        (status = 304, description = "As If-None-Match has it"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 500, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
);
path!(
    /// The vendor SDK's token, with --sdk-token-endpoint
    ///
    /// AppId is `<namespace>/<serviceaccount>`, AppSecret a token of that ServiceAccount, which comes back.
    token, post, path = "/api/v1/token", tag = "Revisions", request_body = TokenRequest, security(()),
    responses(
        (status = 200, body = TokenResponse<'static>), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 500, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
);
path!(
    /// This description
    openapi, get, path = "/openapi.json", tag = "Revisor",
    responses(
        (status = 200, body = serde_json::Value),
        (status = 304, description = "As If-None-Match has it"), (status = 401, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::route::Route;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let described: serde_json::Value = serde_json::from_slice(&json()).expect("JSON");
        let paths = described["paths"].as_object().expect("paths");
        let described: BTreeSet<_> = paths.keys().map(String::as_str).collect();
        let routes = Route::ALL.iter().map(|(_, path)| *path);
        assert_eq!(described, routes.collect());
    }
}
