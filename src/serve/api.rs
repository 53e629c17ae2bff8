//! The read API as one layer around all routes: id, method, caller, rights, answer, headers, metrics, log.
//!
//! Every request goes through [`Api::answer`]; a route is answered only after what it needs of its caller was granted.

use super::admin::Readiness;
use super::answer::{self, Answer};
use super::auth::{AccessRequest, Authenticator, Caller, Target, for_oneself};
use super::error::ApiError;
use super::listen::Handler;
use super::payload::Payload;
use super::route::{Access, Query, Route};
use super::token::BoxError;
use super::{openapi, own, revisions, token, whole};
use crate::cache::{Of, RevisionLister, Scope, WorkloadRef};
use crate::kinds::Catalogue;
use crate::metrics::{Metrics, request as labels};
use crate::redact::Names;
use bytes::Bytes;
use futures::FutureExt;
use http::header::{HeaderValue, ORIGIN};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use kube::Client;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// Requests for whole workloads, which the API server has, are so many at a time.
const FETCHES: usize = 8;
/// A history may move to another namespace so many times while it is read.
const MOVES: usize = 3;

/// How the API behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Origins whose pages may read answers.
    pub origins: Vec<HeaderValue>,
    /// Whether the vendor SDK's token endpoint is there.
    pub sdk_token: bool,
    /// Whether callers also need the right to get the workload itself.
    pub check_workload: bool,
    /// Whether each request is logged.
    pub access_log: bool,
}

/// The read API.
pub struct Api {
    /// What is served.
    pub cache: Arc<dyn RevisionLister>,
    /// Whether the cache is filled.
    pub ready: Readiness,
    /// Decides which callers may read; without one, every caller may.
    pub authenticator: Option<Authenticator>,
    /// Where whole workloads are.
    pub client: Client,
    /// Plural names of kinds.
    pub catalogue: Arc<Catalogue>,
    /// What is hidden in whole workloads.
    pub names: Arc<Names>,
    /// How it behaves.
    pub options: Options,
    /// Requests are counted here.
    pub metrics: Metrics,
    /// At most so many ask the API server for whole workloads at the same time.
    pub fetches: Arc<Semaphore>,
}

impl Api {
    /// How many may ask for whole workloads at the same time.
    pub fn fetches() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(FETCHES))
    }

    /// Answers a request, whatever happens.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Payload>
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<BoxError>,
    {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let id = answer::request_id(&parts.headers);
        let mut log = Log::default();
        let answered = AssertUnwindSafe(self.answer(&parts, body, &mut log))
            .catch_unwind()
            .await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => answer::failure(&error),
            Err(_) => {
                tracing::error!(?id, path = parts.uri.path(), "a request panicked");
                answer::failure(&ApiError::Internal)
            }
        };
        answer::finish(&mut response, &id);
        answer::allow_origin(&mut response, &parts.headers, &self.options.origins);
        let status = response.status().as_u16();
        let elapsed = started.elapsed();
        self.metrics
            .requests
            .get_or_create(&labels(log.route, status))
            .inc();
        self.metrics.request_seconds.observe(elapsed);
        if self.options.access_log {
            log.write(&parts, &id, status, elapsed);
        }
        response
    }

    async fn answer<B>(
        &self,
        parts: &Parts,
        body: B,
        log: &mut Log,
    ) -> Result<Response<Payload>, ApiError>
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<BoxError>,
    {
        let routed = self.route(parts.uri.path());
        log.route = routed.as_ref().map_or("none", Route::name);
        if let Some(preflight) = self.preflight(parts, routed.as_ref().ok()) {
            return Ok(preflight);
        }
        let caller = self.caller(parts, routed.as_ref().ok()).await?;
        if self.options.access_log {
            log.user = caller.as_ref().map(|caller| caller.name().to_owned());
        }
        let route = routed?;
        route.takes(&parts.method)?;
        if route == Route::Token {
            return token::exchange(self.authenticator.as_ref(), body)
                .await
                .map(|answer| answer::success(answer, &parts.headers));
        }
        let query = Query::parse(parts.uri.query())?;
        if route == Route::OpenApi {
            return Ok(answer::success(
                Answer::new(answer::JSON, openapi::json()),
                &parts.headers,
            ));
        }
        self.filled()?;
        let answer = self
            .permitted(&route, &query, caller.as_deref(), parts)
            .await;
        // What was read while the cache began anew says nothing.
        self.filled()?;
        Ok(answer::success(answer?, &parts.headers))
    }

    fn filled(&self) -> Result<(), ApiError> {
        const EMPTY: ApiError =
            ApiError::Unavailable("the first list of Revisions is not complete yet");
        if self.ready.is_ready() {
            Ok(())
        } else {
            Err(EMPTY)
        }
    }

    /// An endpoint that is off is not there.
    fn route(&self, path: &str) -> Result<Route, ApiError> {
        match Route::parse(path) {
            Ok(Route::Token) if !self.options.sdk_token => Err(ApiError::NotFound(format!(
                "path {path:?} (the SDK's token endpoint is off: --sdk-token-endpoint)"
            ))),
            other => other,
        }
    }

    fn preflight(&self, parts: &Parts, route: Option<&Route>) -> Option<Response<Payload>> {
        let asks = parts.method == Method::OPTIONS
            && parts.headers.contains_key("access-control-request-method");
        let known = parts
            .headers
            .get(ORIGIN)
            .is_some_and(|origin| self.options.origins.contains(origin));
        let methods = if route? == &Route::Token {
            "POST"
        } else {
            "GET, HEAD"
        };
        (asks && known).then(|| answer::preflight(methods))
    }

    /// Authenticates the caller; none when nothing is demanded of callers.
    async fn caller(
        &self,
        parts: &Parts,
        route: Option<&Route>,
    ) -> Result<Option<Arc<Caller>>, ApiError> {
        // Without a token no caller learns which paths exist; only the token endpoint is for callers without one.
        if route.is_some_and(|route| route.access() == Access::Open) {
            return for_oneself(&parts.headers).map(|()| None);
        }
        match &self.authenticator {
            None => Ok(None),
            Some(authenticator) => authenticator.authenticate(&parts.headers).await.map(Some),
        }
    }

    /// The answer, for a caller who may have it. Where a history moves to another namespace after its reader was let in,
    /// the right is asked for once more.
    async fn permitted(
        &self,
        route: &Route,
        query: &Query,
        caller: Option<&Caller>,
        parts: &Parts,
    ) -> Result<Answer, ApiError> {
        let mut left = MOVES;
        loop {
            let scope = self.permit(caller, route.access(), query).await?;
            let answer = self.read(route, query, caller, parts, &scope).await;
            left -= 1;
            if left == 0 || answer.is_ok() || !self.has_moved(route.access(), &scope) {
                return answer;
            }
        }
    }

    /// Whether a history that was within a scope is there no more.
    fn has_moved(&self, access: Access, scope: &Scope) -> bool {
        let of = match access {
            Access::Workload(_, id) => Of::Workload(id),
            Access::Revision(_, id) => Of::Revision(id),
            Access::Open | Access::Authenticated | Access::Namespace(_) => return false,
        };
        let is_there = |own| self.cache.namespace(of).as_ref() == Some(own);
        matches!(scope, Scope::Namespace(own) if !is_there(own))
    }

    /// Lets the caller go on within a scope, or not. Histories that are not known need rights everywhere, and the refusal
    /// is the same for those that are, so that nobody learns which there are.
    async fn permit(
        &self,
        caller: Option<&Caller>,
        access: Access,
        query: &Query,
    ) -> Result<Scope, ApiError> {
        let (Some(authenticator), Some(caller)) = (&self.authenticator, caller) else {
            return Ok(Scope::All);
        };
        let (verb, of) = match access {
            Access::Open | Access::Authenticated => return Ok(Scope::All),
            Access::Workload(verb, id) => (verb, Of::Workload(id)),
            Access::Revision(verb, id) => (verb, Of::Revision(id)),
            Access::Namespace(verb) => {
                let namespace = query.namespace.as_deref().unwrap_or_default().into();
                let target = Target::Revisions(namespace);
                let request = AccessRequest { verb, target };
                authenticator.authorize(caller, request).await?;
                return Ok(Scope::All);
            }
        };
        let checked = self.options.check_workload.then(|| self.cache.workload(of));
        let namespace = match &checked {
            Some(found) => found.as_ref().map(|workload| workload.namespace.clone()),
            None => self.cache.namespace(of),
        };
        let target = Target::Revisions(namespace.clone().unwrap_or_default());
        authenticator
            .authorize(caller, AccessRequest { verb, target })
            .await
            .map_err(|error| match error {
                ApiError::Forbidden(_) => ApiError::Forbidden(refusal(caller, verb, of)),
                other => other,
            })?;
        if let Some(workload) = checked.flatten() {
            self.permit_workload(authenticator, caller, &workload)
                .await?;
        }
        Ok(namespace.map_or(Scope::All, Scope::Namespace))
    }

    /// Whether the caller may get a workload itself.
    async fn permit_workload(
        &self,
        authenticator: &Authenticator,
        caller: &Caller,
        workload: &WorkloadRef,
    ) -> Result<(), ApiError> {
        let request = AccessRequest {
            verb: "get",
            target: self.target(workload, &workload.name),
        };
        authenticator.authorize(caller, request).await
    }

    /// A workload as the API server knows it; without a name all of its kind in its namespace.
    fn target(&self, workload: &WorkloadRef, name: &str) -> Target {
        let mut kinds = self.catalogue.kinds().iter();
        // The plural of a kind that is not configured any more is unknown; it is formed as for most kinds.
        let resource = kinds
            .find(|kind| kind.kind == workload.kind && kind.group == workload.group())
            .map_or_else(
                || format!("{}s", workload.kind.to_lowercase()),
                |kind| kind.plural.clone(),
            );
        Target::Workload {
            group: workload.group().to_owned(),
            resource,
            namespace: workload.namespace.clone(),
            name: name.to_owned(),
        }
    }

    /// Whether the caller may see a workload in a list: when that is demanded, whoever may list its kind itself.
    pub(super) async fn may_list(
        &self,
        caller: Option<&Caller>,
        workload: &WorkloadRef,
    ) -> Result<bool, ApiError> {
        if !self.options.check_workload {
            return Ok(true);
        }
        let (Some(authenticator), Some(caller)) = (&self.authenticator, caller) else {
            return Ok(true);
        };
        let request = AccessRequest {
            verb: "list",
            target: self.target(workload, ""),
        };
        match authenticator.authorize(caller, request).await {
            Ok(()) => Ok(true),
            Err(ApiError::Forbidden(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the caller may list revisions in a namespace; without a name in all.
    pub(super) async fn may_read(
        &self,
        caller: Option<&Caller>,
        namespace: &str,
    ) -> Result<bool, ApiError> {
        let (Some(authenticator), Some(caller)) = (&self.authenticator, caller) else {
            return Ok(true);
        };
        let request = AccessRequest {
            verb: "list",
            target: Target::Revisions(namespace.into()),
        };
        match authenticator.authorize(caller, request).await {
            Ok(()) => Ok(true),
            Err(ApiError::Forbidden(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the caller may have with respect to one more revision, that of a comparison.
    pub(super) async fn permit_revision(
        &self,
        caller: Option<&Caller>,
        id: uuid::Uuid,
    ) -> Result<Scope, ApiError> {
        self.permit(caller, Access::Revision("get", id), &Query::default())
            .await
    }

    async fn read(
        &self,
        route: &Route,
        query: &Query,
        caller: Option<&Caller>,
        parts: &Parts,
        scope: &Scope,
    ) -> Result<Answer, ApiError> {
        match *route {
            Route::List(id) => revisions::list(&*self.cache, scope, id, query),
            Route::Count(id) => revisions::count(&*self.cache, scope, id, query),
            Route::Get(id) => revisions::get(&*self.cache, scope, id),
            Route::Workloads => own::workloads(self, query, caller).await,
            Route::Namespaces => own::namespaces(self, query, caller).await,
            Route::History(id) => own::history(&*self.cache, scope, id, query),
            Route::Snapshot(id) => whole::snapshot(self, scope, id, parts).await,
            Route::Diff(id) => whole::diff(self, scope, id, query, caller, parts).await,
            // Answered before.
            Route::OpenApi | Route::Token => Err(ApiError::Internal),
        }
    }
}

/// The refusal of an id, in the same words whether it is known or not.
fn refusal(caller: &Caller, verb: &str, of: Of) -> String {
    let user = caller.name();
    let id = match of {
        Of::Workload(id) => format!("workload {id}"),
        Of::Revision(id) => format!("revision {id}"),
    };
    format!(
        "{user:?} cannot {verb} revisions.revisor.dev in the namespace of {id}, or {id} is not known"
    )
}

impl Handler for Api {
    async fn handle(&self, request: Request<hyper::body::Incoming>) -> Response<Payload> {
        self.respond(request).await
    }
}

/// The fields of a request that only its handling tells.
struct Log {
    route: &'static str,
    user: Option<String>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            route: "none",
            user: None,
        }
    }
}

impl Log {
    /// Writes the line of the access log.
    fn write(&self, parts: &Parts, id: &HeaderValue, status: u16, elapsed: Duration) {
        tracing::info!(
            ?id,
            method = parts.method.as_str(),
            path = parts.uri.path(),
            status,
            user = self.user,
            ?elapsed,
            "request"
        );
    }
}
