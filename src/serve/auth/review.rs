//! The reviews themselves: requests to the API server, at most 20 at a time.

use super::super::error::ApiError;
use super::{Object, Tag, Wish};
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
/// valid before, and of rights. Each has its own places, so that none can keep the others out.
const STRANGERS: usize = 8;
const FRIENDS: usize = 4;
const RIGHTS: usize = 8;
/// How many rights of one caller are reviewed at the same time, so that one cannot take all places for them.
const RIGHTS_EACH: usize = 3;
/// What anybody may wait for a place.
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
    strangers: Arc<Semaphore>,
    friends: Arc<Semaphore>,
    rights: Arc<Semaphore>,
    seen: Cache<Tag, ()>,
    /// The places of each caller among those for rights.
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

    /// Whose token this is.
    pub(super) async fn token(&self, token: &str, tag: Tag) -> Result<Review<UserInfo>, ApiError> {
        // The API server would refuse the review, not the token.
        if token.is_empty() {
            return Ok(Review::No);
        }
        let known = self.seen.contains_key(&tag);
        let (places, full) = if known {
            (&self.friends, BUSY)
        } else {
            (&self.strangers, CROWDED)
        };
        let _place = place(places, full).await?;
        let audiences = (!self.audiences.is_empty()).then(|| self.audiences.to_vec());
        let spec = TokenReviewSpec {
            audiences,
            token: Some(token.to_owned()),
        };
        let review = TokenReview {
            spec,
            ..TokenReview::default()
        };
        let status = self.ask(&review).await?.status.unwrap_or_default();
        let ours = |audience: &String| self.audiences.contains(audience);
        let for_us = self.audiences.is_empty() || status.audiences.iter().flatten().any(ours);
        match status.user {
            Some(user) if status.authenticated == Some(true) && for_us => {
                self.seen.insert(tag, ());
                Ok(Review::Yes(user))
            }
            _ => Ok(Review::No),
        }
    }

    /// Whether a user may do something; `identity` tells the user from others.
    pub(super) async fn access(
        &self,
        user: &UserInfo,
        identity: Tag,
        wish: &Wish,
    ) -> Result<Review<()>, ApiError> {
        let own = self
            .each
            .get_with(identity, || Arc::new(Semaphore::new(RIGHTS_EACH)));
        let _own = place(&own, QUEUED).await?;
        let _place = place(&self.rights, QUEUED).await?;
        let mut spec = SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            ..SubjectAccessReviewSpec::default()
        };
        if let Object::Path(path) = wish.on {
            let (path, verb) = (Some(path.to_owned()), Some(wish.verb.to_owned()));
            spec.non_resource_attributes = Some(NonResourceAttributes { path, verb });
        } else {
            spec.resource_attributes = Some(attributes(wish));
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

/// A place, or `full` when there is none for too long.
async fn place(places: &Semaphore, full: ApiError) -> Result<SemaphorePermit<'_>, ApiError> {
    match timeout(PATIENCE, places.acquire()).await {
        Ok(place) => place.map_err(|_| UNREACHABLE),
        Err(_) => Err(full),
    }
}

fn attributes(wish: &Wish) -> ResourceAttributes {
    let some = |text: &str| Some(text.to_owned());
    let all = ResourceAttributes {
        verb: some(wish.verb),
        ..ResourceAttributes::default()
    };
    match &wish.on {
        Object::Revisions(namespace) => ResourceAttributes {
            group: some(&Revision::group(&())),
            version: some(&Revision::version(&())),
            resource: some(&Revision::plural(&())),
            namespace: some(namespace).filter(|namespace| !namespace.is_empty()),
            ..all
        },
        Object::Workload {
            group,
            resource,
            namespace,
            name,
        } => ResourceAttributes {
            group: some(group),
            resource: some(resource),
            namespace: some(namespace),
            name: some(name).filter(|name| !name.is_empty()),
            ..all
        },
        Object::Path(_) => all,
    }
}
