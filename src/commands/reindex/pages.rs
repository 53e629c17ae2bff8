//! All Revisions, page by page. The next page is on its way while this one is worked on.

use crate::revision::Revision;
use kube::api::{ListParams, ObjectList};
use kube::{Api, Error};
use tokio_util::task::AbortOnDropHandle;

const PAGE: u32 = 200;
/// The code of a list whose token is too old.
const EXPIRED: u16 = 410;

type Listed = Result<ObjectList<Revision>, Error>;

/// A list that is read to its end.
pub(super) struct Pages {
    all: Api<Revision>,
    following: Option<AbortOnDropHandle<Listed>>,
    /// `namespace/name` of the last Revision so far, which is how the API server sorts them.
    last: String,
    read: usize,
    /// How many there are, as far as the API server tells.
    count: Option<usize>,
}

impl Pages {
    pub(super) fn new(all: Api<Revision>) -> Self {
        let mut pages = Self {
            all,
            following: None,
            last: String::new(),
            read: 0,
            count: None,
        };
        pages.fetch("");
        pages
    }

    /// How many Revisions there are in all, as far as that is known.
    pub(super) fn count(&self) -> Option<usize> {
        self.count
    }

    /// The next page; none behind the last one. A list that takes longer than the API server keeps its state goes on in
    /// the present state: Revisions that were read are not read again.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<Revision>>> {
        loop {
            let Some(following) = self.following.take() else {
                return Ok(None);
            };
            match following.await? {
                Ok(page) => return Ok(Some(self.take(page))),
                Err(Error::Api(status)) if status.code == EXPIRED => {
                    let token = status.metadata.and_then(|list| list.continue_);
                    self.fetch(token.as_deref().unwrap_or_default());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, page: ObjectList<Revision>) -> Vec<Revision> {
        let token = page.metadata.continue_.filter(|token| !token.is_empty());
        if let Some(token) = &token {
            self.fetch(token);
        }
        let mut items = page.items;
        items.retain(|revision| key(revision) > self.last);
        if let Some(last) = items.last() {
            self.last = key(last);
        }
        self.read += items.len();
        let rest = page.metadata.remaining_item_count;
        let rest = match (&token, rest) {
            (None, _) => Some(0),
            (Some(_), rest) => rest.and_then(|rest| usize::try_from(rest).ok()),
        };
        self.count = rest.map(|rest| self.read + rest);
        items
    }

    fn fetch(&mut self, token: &str) {
        let mut params = ListParams::default().limit(PAGE);
        if !token.is_empty() {
            params = params.continue_token(token);
        }
        let all = self.all.clone();
        let fetching = tokio::spawn(async move { all.list(&params).await });
        self.following = Some(AbortOnDropHandle::new(fetching));
    }
}

fn key(revision: &Revision) -> String {
    let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
    let name = revision.metadata.name.as_deref().unwrap_or_default();
    format!("{namespace}/{name}")
}
