//! Paths and queries: which route, with which parameters, and who may take it. Pure.
//!
//! A route says what it needs in [`Route::access`], which the compiler demands of each, so that none can be forgotten.

use super::error::{ApiError, shown};
use crate::revision::Phase;
use chrono::{DateTime, Utc};
use http::Method;
use std::borrow::Cow;
use uuid::Uuid;

/// Makes the routes from a list, so that tests and the description of the API know every one of them.
macro_rules! routes {
    ($($(#[$doc:meta])* $route:ident$(($id:ty))? = $name:literal, $path:literal;)*) => {
        /// Where a request goes.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Route {
            $($(#[$doc])* $route$(($id))?,)*
        }

        impl Route {
            /// The name and the path of each.
            pub const ALL: &[(&str, &str)] = &[$(($name, $path),)*];

            /// What metrics call it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$route { .. } => $name,)*
                }
            }
        }
    };
}

routes! {
    /// The revisions of a workload.
    List(Uuid) = "list", "/api/v1/workloads/inferences/{workloadId}/revisions";
    /// How many there are.
    Count(Uuid) = "count", "/api/v1/workloads/inferences/{workloadId}/revisions/count";
    /// One revision.
    Get(Uuid) = "get", "/api/v1/workloads/inferences/revisions/{revisionId}";
    /// All workloads.
    Workloads = "workloads", "/api/revisor/v1/workloads";
    /// The namespaces that the caller may read.
    Namespaces = "namespaces", "/api/revisor/v1/namespaces";
    /// Everything of a workload, Gaps included.
    History(Uuid) = "history", "/api/revisor/v1/workloads/{workloadId}/revisions";
    /// The workload as it was.
    Snapshot(Uuid) = "snapshot", "/api/revisor/v1/revisions/{revisionId}/snapshot";
    /// What differs between two revisions.
    Diff(Uuid) = "diff", "/api/revisor/v1/revisions/{revisionId}/diff";
    /// The vendor SDK's token.
    Token = "token", "/api/v1/token";
    /// This API, for machines.
    OpenApi = "openapi", "/openapi.json";
}

/// What a route needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: the request holds what it proves.
    Open,
    /// A valid token.
    Authenticated,
    /// A verb on `revisions.revisor.dev` in the namespace of a workload.
    Workload(&'static str, Uuid),
    /// A verb on `revisions.revisor.dev` in the namespace of a revision.
    Revision(&'static str, Uuid),
    /// A verb on `revisions.revisor.dev` in the namespace that the query names, or in all.
    Namespace(&'static str),
}

const READ: &str = "GET, HEAD";
const WRITE: &str = "POST";

impl Route {
    /// Reads a path.
    ///
    /// # Errors
    /// 404 when there is nothing, 400 when an id in it cannot be read.
    pub fn parse(path: &str) -> Result<Self, ApiError> {
        let mut segments = [""; 8];
        let mut count = 0;
        for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
            let Some(slot) = segments.get_mut(count) else {
                return Err(unknown(path));
            };
            (*slot, count) = (segment, count + 1);
        }
        Ok(match &segments[..count] {
            ["api", "v1", "workloads", "inferences", "revisions", id] => {
                Self::Get(uuid("revisionId", id)?)
            }
            ["api", "v1", "workloads", "inferences", id, "revisions"] => {
                Self::List(uuid("workloadId", id)?)
            }
            [
                "api",
                "v1",
                "workloads",
                "inferences",
                id,
                "revisions",
                "count",
            ] => Self::Count(uuid("workloadId", id)?),
            ["api", "v1", "token"] => Self::Token,
            ["api", "revisor", "v1", "workloads"] => Self::Workloads,
            ["api", "revisor", "v1", "namespaces"] => Self::Namespaces,
            ["api", "revisor", "v1", "workloads", id, "revisions"] => {
                Self::History(uuid("workloadId", id)?)
            }
            ["api", "revisor", "v1", "revisions", id, "snapshot"] => {
                Self::Snapshot(uuid("revisionId", id)?)
            }
            ["api", "revisor", "v1", "revisions", id, "diff"] => {
                Self::Diff(uuid("revisionId", id)?)
            }
            ["openapi.json"] => Self::OpenApi,
            _ => return Err(unknown(path)),
        })
    }

    /// What it needs of its caller.
    pub fn access(&self) -> Access {
        match *self {
            Self::Token => Access::Open,
            // The namespaces that an answer names are reviewed one by one.
            Self::OpenApi | Self::Namespaces => Access::Authenticated,
            Self::List(id) | Self::Count(id) | Self::History(id) => Access::Workload("list", id),
            Self::Get(id) | Self::Snapshot(id) | Self::Diff(id) => Access::Revision("get", id),
            Self::Workloads => Access::Namespace("list"),
        }
    }

    /// The methods that the path takes.
    pub fn allowed(&self) -> &'static str {
        if *self == Self::Token { WRITE } else { READ }
    }

    /// Whether the path takes this method.
    ///
    /// # Errors
    /// 405 with what it takes.
    pub fn takes(&self, method: &Method) -> Result<(), ApiError> {
        let allowed = self.allowed();
        if allowed.split(", ").any(|one| method == one) {
            return Ok(());
        }
        Err(ApiError::WrongMethod {
            method: shown(method.as_str()),
            allowed,
        })
    }
}

fn unknown(path: &str) -> ApiError {
    ApiError::NotFound(format!("path {:?}", shown(path)))
}

/// Reads a UUID, in any letter case, with hyphens.
fn uuid(name: &'static str, text: &str) -> Result<Uuid, ApiError> {
    let hyphened = text.len() == 36;
    let parsed = Uuid::try_parse(text).ok().filter(|_| hyphened);
    parsed.ok_or_else(|| ApiError::BadParameter {
        name,
        value: shown(text),
        expected: "a UUID",
    })
}

/// The parameters of a query. Unknown ones are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only what is deleted, or only what is there.
    pub deleted: Option<bool>,
    /// Only workloads of this namespace.
    pub namespace: Option<String>,
    /// Only workloads of this kind: `Kind`, or `Kind.group` where several groups have it.
    pub kind: Option<String>,
    /// Only workloads whose newest revision is in this phase.
    pub phase: Option<Phase>,
    /// Only what changed then or later.
    pub since: Option<DateTime<Utc>>,
    /// Only what changed before.
    pub until: Option<DateTime<Utc>>,
    /// Only workloads of this name.
    pub name: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Where to go on.
    pub cursor: Option<String>,
    /// The revision to compare with.
    pub from: Option<Uuid>,
}

impl Query {
    /// Whether a filter is about what became of a workload, not about its names.
    pub fn looks_inside(&self) -> bool {
        self.deleted.is_some()
            || self.phase.is_some()
            || self.since.is_some()
            || self.until.is_some()
    }

    /// Whether a change of that time is wanted.
    pub fn is_within(&self, changed: Option<DateTime<Utc>>) -> bool {
        let is_since = |since: DateTime<Utc>| changed.is_some_and(|changed| changed >= since);
        let is_until = |until: DateTime<Utc>| changed.is_some_and(|changed| changed < until);
        self.since.is_none_or(is_since) && self.until.is_none_or(is_until)
    }
}

const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

impl Query {
    /// Reads a query; of a parameter that comes twice the last counts.
    ///
    /// # Errors
    /// 400 with the parameter and its value.
    pub fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        let mut query = Self {
            limit: LIMIT,
            ..Self::default()
        };
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            match &*name {
                "deleted" => query.deleted = Some(boolean("deleted", &value)?),
                "phase" => query.phase = Some(phase(&value)?),
                "since" => query.since = Some(time("since", &value)?),
                "until" => query.until = Some(time("until", &value)?),
                "namespace" => query.namespace = Some(label("namespace", value)?),
                "kind" => query.kind = given(value),
                "name" => query.name = given(value),
                "cursor" => query.cursor = given(value),
                "limit" => query.limit = limit(&value)?,
                "from" => query.from = Some(uuid("from", &value)?),
                _ => {}
            }
        }
        Ok(query)
    }
}

/// A value; none when it is empty.
fn given(value: Cow<'_, str>) -> Option<String> {
    Some(value.into_owned()).filter(|value| !value.is_empty())
}

/// Reads the name of a namespace: it is kept for a while, and the API server is asked about it.
fn label(name: &'static str, value: Cow<'_, str>) -> Result<String, ApiError> {
    if is_label(&value) {
        Ok(value.into_owned())
    } else {
        Err(ApiError::BadParameter {
            name,
            value: shown(&value),
            expected: "a DNS label of at most 63 characters",
        })
    }
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn boolean(name: &'static str, value: &str) -> Result<bool, ApiError> {
    value.parse().map_err(|_| ApiError::BadParameter {
        name,
        value: shown(value),
        expected: "true or false",
    })
}

fn phase(value: &str) -> Result<Phase, ApiError> {
    let mut all = Phase::ALL.into_iter();
    all.find(|phase| phase.as_str() == value)
        .ok_or_else(|| ApiError::BadParameter {
            name: "phase",
            value: shown(value),
            expected: "a phase, such as Running",
        })
}

fn time(name: &'static str, value: &str) -> Result<DateTime<Utc>, ApiError> {
    value.parse().map_err(|_| ApiError::BadParameter {
        name,
        value: shown(value),
        expected: "a time such as 2026-01-31T00:00:00Z",
    })
}

fn limit(value: &str) -> Result<usize, ApiError> {
    value
        .parse()
        .ok()
        .filter(|number| (1..=MAX_LIMIT).contains(number))
        .ok_or_else(|| ApiError::BadParameter {
            name: "limit",
            value: shown(value),
            expected: "a number from 1 to 1000",
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "6F9619FF-8B86-D011-B42D-00CF4FC964FF";

    #[test]
    fn every_route_has_its_path_and_only_the_tokens_is_open() {
        for (name, path) in Route::ALL {
            let path = path.replace("{workloadId}", ID).replace("{revisionId}", ID);
            let route = Route::parse(&path).expect(name);
            assert_eq!(route.name(), *name, "{path}");
            assert_eq!(route.access() == Access::Open, *name == "token", "{path}");
            let (taken, other) = if *name == "token" {
                (Method::POST, Method::GET)
            } else {
                (Method::GET, Method::POST)
            };
            assert_eq!(route.takes(&taken), Ok(()));
            for method in [other, Method::DELETE, Method::OPTIONS] {
                assert_eq!(
                    route.takes(&method).expect_err("wrong").status(),
                    405,
                    "{method} {path}"
                );
            }
        }
    }

    #[test]
    fn a_path_that_cannot_be_read_is_named() {
        let error = |path: &str| Route::parse(path).expect_err(path);
        for (path, text) in [
            (
                "/api/v1/workloads/inferences/x/revisions",
                "workloadId: \"x\" is not a UUID",
            ),
            (
                "/api/v1/workloads/inferences/revisions/%20",
                "revisionId: \"%20\" is not a UUID",
            ),
            (
                "/api/v1/workloads/inferences/revisions/6f9619ff8b86d011b42d00cf4fc964ff",
                "is not a UUID",
            ),
        ] {
            assert_eq!(error(path).status(), 400);
            assert!(error(path).to_string().contains(text), "{}", error(path));
        }
        for path in [
            "",
            "/",
            "//",
            "/api/v1/workloads/inferences",
            "/api/v1/token/",
            "/a/b/c/d/e/f/g/h/i/j",
        ] {
            assert_eq!(error(path).status(), 404, "{path}");
        }
    }

    #[test]
    fn a_query_that_cannot_be_read_is_named() {
        for (query, text) in [
            ("deleted=1", "deleted: \"1\" is not true or false"),
            ("phase=running", "phase: \"running\" is not a phase"),
            ("since=yesterday", "since: \"yesterday\" is not a time"),
            ("until=", "until: \"\" is not a time"),
            ("deleted=", "deleted: \"\" is not true or false"),
            ("limit=0", "limit: \"0\" is not a number from 1 to 1000"),
            ("limit=1001", "limit"),
            ("from=x", "from: \"x\" is not a UUID"),
            (
                "namespace=",
                "namespace: \"\" is not a DNS label of at most 63 characters",
            ),
            ("namespace=a%20b", "namespace: \"a b\" is not a DNS label"),
            ("namespace=Team", "namespace"),
            ("namespace=a.b", "namespace"),
            ("namespace=-a", "namespace"),
            ("namespace=a-", "namespace"),
            (&*format!("namespace={}", "a".repeat(64)), "namespace"),
        ] {
            let error = Query::parse(Some(query)).expect_err(query);
            assert!(error.to_string().contains(text), "{error}");
        }
        let huge = Query::parse(Some(&format!("namespace={}", "a".repeat(1 << 16))))
            .expect_err("too long");
        assert!(huge.to_string().len() < 300, "cut");
    }

    #[test]
    fn a_query_is_read_and_what_it_does_not_know_is_ignored() {
        let longest = "a".repeat(63);
        let query = Query::parse(Some(&format!("namespace={longest}"))).expect("valid");
        assert_eq!(query.namespace, Some(longest));
        assert_eq!(Query::parse(Some("")), Query::parse(None));
        let query =
            Query::parse(Some("x=y&deleted=true&namespace=a-1&kind=&limit=7")).expect("valid");
        assert_eq!(
            (
                query.deleted,
                query.namespace.as_deref(),
                query.kind,
                query.limit
            ),
            (Some(true), Some("a-1"), None, 7)
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(path in "\\PC*", query in "\\PC*", pair in "(deleted|limit|from|cursor|name)=\\PC{0,40}") {
            let _ = (Route::parse(&path), Query::parse(Some(&query)), Query::parse(Some(&pair)));
        }

        #[test]
        fn every_uuid_is_read_in_any_case(id: u128, upper: bool) {
            let text = Uuid::from_u128(id).to_string();
            let text = if upper { text.to_uppercase() } else { text };
            let path = format!("/api/v1/workloads/inferences/{text}/revisions");
            prop_assert_eq!(Route::parse(&path), Ok(Route::List(Uuid::from_u128(id))));
        }
    }
}
