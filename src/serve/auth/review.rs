//! The reviews themselves: requests to the API server, at most 20 at a time.

use super::super::error::ApiError;
use super::{AccessRequest, Tag, Target};
use crate::revision::Revision;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use moka::sync::Cache;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How many reviews are under way at the same time, 20 in all: of tokens that nobody has seen yet, of tokens that were
/// valid before, and of rights. Each has permits of its own, so that none can keep the others out.
const STRANGERS: usize = 8;
const FRIENDS: usize = 4;
const RIGHTS: usize = 8;
/// How many rights of one caller are reviewed at the same time, so that one cannot take all permits for them.
const RIGHTS_EACH: usize = 3;
/// How long a caller may wait for a permit.
const PATIENCE: Duration = Duration::from_secs(2);
/// What one review may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many tokens that were valid are remembered, and for how long.
const REMEMBERED: u64 = 8_192;
const MEMORY: Duration = Duration::from_secs(3_600);

/// The API server's answer.
#[derive(Debug)]
pub(super) enum Review<T> {
    /// It agrees.
    Yes(T),
    /// It does not.
    No,
}

/// Asks the API server. Cloning shares its limits.
#[derive(Clone)]
pub struct Reviews {
    client: Client,
    audiences: Arc<[String]>,
    /// Whether tokens of the API server's own audience are accepted beside `audiences`.
    takes_own: bool,
    strangers: Arc<Semaphore>,
    friends: Arc<Semaphore>,
    rights: Arc<Semaphore>,
    seen: Cache<Tag, ()>,
    /// The permits of each caller among those for rights.
    each: Cache<Tag, Arc<Semaphore>>,
}

const UNREACHABLE: ApiError =
    ApiError::Unavailable("the API server cannot be asked who this is now");
const CROWDED: ApiError =
    ApiError::Unavailable("too many unknown tokens are waiting to be reviewed");
const BUSY: ApiError = ApiError::Unavailable("too many tokens are waiting to be reviewed again");
const QUEUED: ApiError = ApiError::Unavailable("too many rights are waiting to be reviewed");

impl Reviews {
    /// Without audiences the API server's own are demanded.
    pub fn new(client: Client, audiences: Vec<String>) -> Self {
        Self {
            client,
            audiences: audiences.into(),
            takes_own: false,
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            friends: Arc::new(Semaphore::new(FRIENDS)),
            rights: Arc::new(Semaphore::new(RIGHTS)),
            each: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(MEMORY)
                .build(),
            seen: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(MEMORY)
                .build(),
        }
    }

    /// Accepts tokens of the API server's own audience as well: scrapers of metrics show the token of their pod.
    pub fn of_any_audience(client: Client, audiences: Vec<String>) -> Self {
        Self {
            takes_own: !audiences.is_empty(),
            ..Self::new(client, audiences)
        }
    }

    /// Whose token this is.
    pub(super) async fn token(&self, token: &str, tag: Tag) -> Result<Review<UserInfo>, ApiError> {
        // The API server would refuse the review, not the token.
        if token.is_empty() {
            return Ok(Review::No);
        }
        let known = self.seen.contains_key(&tag);
        let (permits, full) = if known {
            (&self.friends, BUSY)
        } else {
            (&self.strangers, CROWDED)
        };
        let _permit = permit(permits, full).await?;
        let mut review = self.review(token, &self.audiences).await?;
        if matches!(review, Review::No) && self.takes_own {
            review = self.review(token, &[]).await?;
        }
        if matches!(review, Review::Yes(_)) {
            self.seen.insert(tag, ());
        }
        Ok(review)
    }

    /// Whose token this is, when it is made for one of `audiences`; without any, for the API server.
    async fn review(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Review<UserInfo>, ApiError> {
        let spec = TokenReviewSpec {
            audiences: (!audiences.is_empty()).then(|| audiences.to_vec()),
            token: Some(token.to_owned()),
        };
        let review = TokenReview {
            spec,
            ..TokenReview::default()
        };
        let status = self.ask(&review).await?.status.unwrap_or_default();
        let of_token = status.audiences.unwrap_or_default();
        let is_for_us = audiences.is_empty() || of_token.iter().any(|of| audiences.contains(of));
        Ok(match status.user {
            Some(user) if status.authenticated == Some(true) && is_for_us => Review::Yes(user),
            _ => Review::No,
        })
    }

    /// Whether a user may do something; `identity` tells the user from others.
    pub(super) async fn access(
        &self,
        user: &UserInfo,
        identity: Tag,
        request: &AccessRequest,
    ) -> Result<Review<()>, ApiError> {
        let own = self
            .each
            .get_with(identity, || Arc::new(Semaphore::new(RIGHTS_EACH)));
        let _own = permit(&own, QUEUED).await?;
        let _permit = permit(&self.rights, QUEUED).await?;
        let mut spec = SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            ..SubjectAccessReviewSpec::default()
        };
        if let Target::Path(path) = request.target {
            spec.non_resource_attributes = Some(NonResourceAttributes {
                path: Some(path.to_owned()),
                verb: Some(request.verb.to_owned()),
            });
        } else {
            spec.resource_attributes = Some(attributes(request));
        }
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let status = self.ask(&review).await?.status.unwrap_or_default();
        let allowed = status.allowed && status.denied != Some(true);
        Ok(if allowed { Review::Yes(()) } else { Review::No })
    }

    async fn ask<R>(&self, review: &R) -> Result<R, ApiError>
    where
        R: Resource<DynamicType = ()>
            + Clone
            + serde::Serialize
            + serde::de::DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<R> = Api::all(self.client.clone());
        match timeout(DEADLINE, api.create(&PostParams::default(), review)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                // An error of the API server holds nothing of what was sent.
                tracing::warn!(review = %R::kind(&()), %error, "a review failed");
                Err(UNREACHABLE)
            }
            Err(_) => {
                tracing::warn!(review = %R::kind(&()), "a review took too long");
                Err(UNREACHABLE)
            }
        }
    }
}

/// A permit, or `full` when there is none for too long.
async fn permit(permits: &Semaphore, full: ApiError) -> Result<SemaphorePermit<'_>, ApiError> {
    match timeout(PATIENCE, permits.acquire()).await {
        Ok(permit) => permit.map_err(|_| UNREACHABLE),
        Err(_) => Err(full),
    }
}

fn attributes(request: &AccessRequest) -> ResourceAttributes {
    let all = ResourceAttributes {
        verb: Some(request.verb.to_owned()),
        ..ResourceAttributes::default()
    };
    match &request.target {
        Target::Revisions(namespace) => ResourceAttributes {
            group: Some(Revision::group(&()).into_owned()),
            version: Some(Revision::version(&()).into_owned()),
            resource: Some(Revision::plural(&()).into_owned()),
            namespace: given(namespace),
            ..all
        },
        Target::Workload {
            group,
            resource,
            namespace,
            name,
        } => ResourceAttributes {
            group: Some(group.clone()),
            resource: Some(resource.clone()),
            namespace: Some(namespace.to_string()),
            name: given(name),
            ..all
        },
        Target::Path(_) => all,
    }
}

/// A text; none when it is empty.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
