//! Who asks, and whether they may: TokenReview, then SubjectAccessReview, both by the API server.
//!
//! Answers are kept for [`KEPT`] under a keyed hash of the token; errors are not kept, and nothing is ever allowed
//! because the API server could not be asked. Many requests with one token make one review.

mod credentials;
mod rate;
mod review;
#[cfg(test)]
mod tests;

pub use review::Reviews;

use super::error::ApiError;
use crate::metrics::{Metrics, review as labels};
use crate::revision::Revision;
use credentials::{refused_header, token};
use http::HeaderMap;
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::Resource;
use moka::future::Cache;
use prometheus_client::metrics::counter::Counter;
use rate::Rates;
use review::Review;
use ring::hmac;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer of the API server counts; as long as in the API server itself.
pub const KEPT: Duration = Duration::from_secs(10);
const TOKENS: u64 = 32_768;
const ACCESSES: u64 = 8_192;
/// Larger questions are asked anew each time, so that a few of them cannot fill the memory.
const MAX_KEPT: usize = 10_000;

/// A keyed hash.
type Tag = [u8; 32];

/// Somebody whose token is valid.
#[derive(Debug)]
pub struct Caller {
    /// As TokenReview tells: name, uid, groups, and all extra.
    pub user: UserInfo,
    /// Of all that the API server is told of the caller.
    tag: Tag,
    /// Of name and uid: extra differs from token to token of one account.
    identity: Tag,
    size: usize,
}

impl Caller {
    /// The user's name, for logs.
    pub fn name(&self) -> &str {
        self.user.username.as_deref().unwrap_or_default()
    }
}

/// An action that a caller asks for. An empty namespace means all namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessRequest {
    /// The verb, for example get.
    pub verb: &'static str,
    /// The object of the verb.
    pub target: Target,
}

impl AccessRequest {
    /// Bytes that keeping it takes.
    fn size(&self) -> usize {
        match &self.target {
            Target::Revisions(namespace) => namespace.len(),
            Target::Workload {
                group,
                resource,
                namespace,
                name,
            } => group.len() + resource.len() + namespace.len() + name.len(),
            Target::Path(path) => path.len(),
        }
    }
}

/// The object of an access request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Revisions in a namespace, or in all.
    Revisions(Arc<str>),
    /// A workload; without a name all of its kind.
    Workload {
        /// API group.
        group: String,
        /// Plural name of the kind.
        resource: String,
        /// metadata.namespace.
        namespace: Arc<str>,
        /// metadata.name.
        name: String,
    },
    /// A path that is no resource, such as /metrics.
    Path(&'static str),
}

/// Authenticates callers and authorizes what they ask for. Cloning shares its caches.
#[derive(Clone)]
pub struct Authenticator {
    reviews: Reviews,
    key: Arc<hmac::Key>,
    callers: Cache<Tag, Option<Arc<Caller>>>,
    verdicts: Cache<(Tag, AccessRequest), bool>,
    rates: Option<Rates>,
    /// Most answers are kept ones: their counters are not looked up each time.
    known_tokens: Counter,
    known_accesses: Counter,
    metrics: Metrics,
}

impl Authenticator {
    /// An authenticator with empty caches. `rate` is the number of requests a second that each caller may make.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(
        reviews: Reviews,
        rate: Option<u32>,
        metrics: &Metrics,
    ) -> Result<Self, ring::error::Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())?;
        // One after the other: each is a guard of the family as long as the statement lasts.
        let known_tokens = metrics
            .reviews
            .get_or_create(&labels("token", "Cached"))
            .clone();
        let known_accesses = metrics
            .reviews
            .get_or_create(&labels("access", "Cached"))
            .clone();
        Ok(Self {
            reviews,
            key: Arc::new(key),
            callers: Cache::builder()
                .max_capacity(TOKENS)
                .time_to_live(KEPT)
                .build(),
            verdicts: Cache::builder()
                .max_capacity(ACCESSES)
                .time_to_live(KEPT)
                .build(),
            rates: rate.map(Rates::new),
            known_tokens,
            known_accesses,
            metrics: metrics.clone(),
        })
    }

    /// Who sent these headers.
    ///
    /// # Errors
    /// 401 without a valid token, 403 for a borrowed identity, 503 when nobody can tell.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Caller>, ApiError> {
        for_oneself(headers)?;
        let caller = self.holder(token(headers)?).await?;
        match &self.rates {
            Some(rates) if !rates.admits(caller.identity) => Err(ApiError::TooMany),
            _ => Ok(caller),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// 401 when it is nobody's, 503 when nobody can tell.
    pub async fn holder(&self, token: &str) -> Result<Arc<Caller>, ApiError> {
        let tag = self.tag(&[token.as_bytes()]);
        let found = match self.callers.get(&tag).await {
            Some(found) => {
                self.known_tokens.inc();
                found
            }
            None => self
                .callers
                .try_get_with(tag, self.ask_for(token, tag))
                .await
                .map_err(|error| (*error).clone())?,
        };
        found.ok_or(ApiError::Unauthorized("the token is not valid"))
    }

    async fn ask_for(&self, token: &str, tag: Tag) -> Result<Option<Arc<Caller>>, ApiError> {
        let review = self.reviews.token(token, tag).await;
        self.count("token", &review);
        let Review::Yes(user) = review? else {
            return Ok(None);
        };
        // Plain data with text keys always serializes.
        let json = serde_json::to_vec(&user).unwrap_or_default();
        let who = serde_json::to_vec(&(&user.username, &user.uid)).unwrap_or_default();
        Ok(Some(Arc::new(Caller {
            tag: self.tag(&[b"caller", &json]),
            identity: self.tag(&[b"identity", &who]),
            size: json.len(),
            user,
        })))
    }

    /// Whether a caller may do something.
    ///
    /// # Errors
    /// 403 when not, 503 when nobody can tell.
    pub async fn authorize(&self, caller: &Caller, request: AccessRequest) -> Result<(), ApiError> {
        let key = (caller.tag, request);
        let allowed = match self.verdicts.get(&key).await {
            Some(allowed) => {
                self.known_accesses.inc();
                allowed
            }
            None if caller.size + key.1.size() >= MAX_KEPT => {
                self.ask_whether(caller, &key.1).await?
            }
            None => {
                let asking = self.ask_whether(caller, &key.1);
                self.verdicts
                    .try_get_with(key.clone(), asking)
                    .await
                    .map_err(|error| (*error).clone())?
            }
        };
        if allowed {
            Ok(())
        } else {
            Err(ApiError::Forbidden(refusal(caller, &key.1)))
        }
    }

    async fn ask_whether(
        &self,
        caller: &Caller,
        request: &AccessRequest,
    ) -> Result<bool, ApiError> {
        let review = self
            .reviews
            .access(&caller.user, caller.identity, request)
            .await;
        self.count("access", &review);
        Ok(matches!(review?, Review::Yes(())))
    }

    fn count<T>(&self, review: &'static str, result: &Result<Review<T>, ApiError>) {
        let outcome = match result {
            Ok(Review::Yes(_)) => "Yes",
            Ok(Review::No) => "No",
            Err(_) => "Failed",
        };
        self.metrics
            .reviews
            .get_or_create(&labels(review, outcome))
            .inc();
    }

    fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(part);
        }
        let mut tag = Tag::default();
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

/// Refuses who would speak for another, as proxies of the API server may.
///
/// # Errors
/// 403 with the header.
pub(super) fn for_oneself(headers: &HeaderMap) -> Result<(), ApiError> {
    refused_header(headers).map_or(Ok(()), |name| {
        Err(ApiError::Forbidden(format!(
            "header {name} is not accepted: nobody may speak for another"
        )))
    })
}

/// In the words of the API server.
fn refusal(caller: &Caller, request: &AccessRequest) -> String {
    let user = caller.name();
    let verb = request.verb;
    let revisions = format!("{}.{}", Revision::plural(&()), Revision::group(&()));
    match &request.target {
        Target::Revisions(all) if all.is_empty() => {
            format!("{user:?} cannot {verb} {revisions} in all namespaces")
        }
        Target::Revisions(namespace) => {
            format!("{user:?} cannot {verb} {revisions} in namespace {namespace:?}")
        }
        Target::Workload {
            group,
            resource,
            namespace,
            name,
        } if name.is_empty() => {
            format!("{user:?} cannot {verb} {resource}.{group} in namespace {namespace:?}")
        }
        Target::Workload {
            group,
            resource,
            namespace,
            name,
        } => {
            format!("{user:?} cannot {verb} {resource}.{group} {name:?} in namespace {namespace:?}")
        }
        Target::Path(path) => format!("{user:?} cannot {verb} path {path:?}"),
    }
}
