//! One page of a LIST, its objects unread.

use crate::workload::ResourceVersion;
use http::{Request, header};
use kube::Client;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct ObjectList<'a> {
    metadata: Meta,
    /// An empty list of metadata has null here.
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    token: String,
}

/// A page of objects, and how to get the next.
#[derive(Debug)]
pub struct Page {
    /// The state of the collection that it shows.
    pub at: ResourceVersion,
    /// The objects.
    pub items: Vec<Box<RawValue>>,
    /// The token of the next page; empty on the last one.
    pub token: String,
}

/// Reads one page within 30 s. `accept` may ask for another form than the whole objects.
///
/// # Errors
/// When the API server does not answer, or refuses.
pub async fn page(client: &Client, uri: &str, accept: Option<&str>) -> anyhow::Result<Page> {
    let mut request = Request::get(uri);
    if let Some(accept) = accept {
        request = request.header(header::ACCEPT, accept);
    }
    let text = timeout(DEADLINE, client.request_text(request.body(Vec::new())?)).await??;
    let list: ObjectList<'_> = serde_json::from_str(&text)?;
    Ok(Page {
        at: list.metadata.resource_version.parse()?,
        items: list
            .items
            .into_iter()
            .flatten()
            .map(ToOwned::to_owned)
            .collect(),
        token: list.metadata.token,
    })
}

/// The path of a collection's page of at most `limit` objects.
pub fn uri(collection: &str, limit: usize, token: &str) -> String {
    let next = if token.is_empty() {
        String::new()
    } else {
        format!("&continue={token}")
    };
    format!("{collection}?limit={limit}{next}")
}

/// Whether the API server answered with this status.
pub fn has_status(error: &anyhow::Error, code: u16) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == code)
}
