//! The reviews themselves: requests to the API server, at most [`PLACES`] at a time.

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
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many reviews are under way at the same time.
pub const PLACES: usize = 20;
/// Of these, for tokens that were valid before, so that unknown ones cannot keep their owners out.
const KEPT_PLACES: usize = 8;
/// What an unknown token may wait for a place.
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
    seen: Cache<Tag, ()>,
}

const UNREACHABLE: ApiError = ApiError::Unavailable("the API server cannot be asked who this is now");
const CROWDED: ApiError = ApiError::Unavailable("too many unknown tokens are waiting to be reviewed");

impl Reviews {
    /// Without audiences the API server's own are demanded.
    pub fn new(client: Client, audiences: Vec<String>) -> Self {
        Self {
            client,
            audiences: audiences.into(),
            strangers: Arc::new(Semaphore::new(PLACES - KEPT_PLACES)),
            friends: Arc::new(Semaphore::new(KEPT_PLACES)),
            seen: Cache::builder().max_capacity(REMEMBERED).time_to_live(MEMORY).build(),
        }
    }

    /// Whose token this is.
    pub(super) async fn token(&self, token: &str, tag: Tag) -> Result<Review<UserInfo>, ApiError> {
        // The API server would refuse the review, not the token.
        if token.is_empty() {
            return Ok(Review::No);
        }
        let known = self.seen.contains_key(&tag);
        let places = if known { &self.friends } else { &self.strangers };
        let place = timeout(PATIENCE, places.acquire()).await.map_err(|_| CROWDED)?;
        let _place = place.map_err(|_| UNREACHABLE)?;
        let audiences = (!self.audiences.is_empty()).then(|| self.audiences.to_vec());
        let spec = TokenReviewSpec { audiences, token: Some(token.to_owned()) };
        let review = TokenReview { spec, ..TokenReview::default() };
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

    /// Whether a user may do something.
    pub(super) async fn access(&self, user: &UserInfo, wish: &Wish) -> Result<Review<()>, ApiError> {
        let _place = self.friends.acquire().await.map_err(|_| UNREACHABLE)?;
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
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
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

fn attributes(wish: &Wish) -> ResourceAttributes {
    let some = |text: &str| Some(text.to_owned());
    let all = ResourceAttributes { verb: some(wish.verb), ..ResourceAttributes::default() };
    match &wish.on {
        Object::Revisions(namespace) => ResourceAttributes {
            group: some(&Revision::group(&())),
            version: some(&Revision::version(&())),
            resource: some(&Revision::plural(&())),
            namespace: some(namespace).filter(|namespace| !namespace.is_empty()),
            ..all
        },
        Object::Workload { group, resource, namespace, name } => ResourceAttributes {
            group: some(group),
            resource: some(resource),
            namespace: some(namespace),
            name: some(name),
            ..all
        },
        Object::Path(_) => all,
    }
}
