//! Connections to the API server, each with the limits of its use.
//!
//! Every request has a deadline here, whatever its transport does: for the head of its answer, and for the silence
//! within it. Callers that need an answer sooner set a shorter one.

pub mod backoff;
pub mod page;
pub(crate) mod path;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::Path;
use std::time::Duration;
use tower::ServiceBuilder;
use tower_http::timeout::ResponseBodyTimeoutLayer;

/// Clients for one API server.
#[derive(Clone)]
pub struct Clients {
    /// For watches, which the server ends before [`SILENCE`].
    pub watch: Client,
    /// For everything that is answered at once.
    pub call: Client,
    /// For creates: the API server may ask webhooks for up to 30 seconds before it answers.
    pub create: Client,
    /// The pod's own namespace, or that of the kubeconfig's context.
    pub namespace: String,
}

/// The head of an answer comes within this time, or the request has failed.
const ANSWER: Duration = Duration::from_secs(30);

/// The head of the answer to a create comes within this time. The writer's own deadline is shorter.
const ADMITTED: Duration = Duration::from_secs(40);

/// A watch that has nothing to say for so long is broken: the server should have ended it after 50 seconds.
const SILENCE: Duration = Duration::from_secs(75);

impl Clients {
    /// Clients whose requests have deadlines, over the connections of `watch` and `call`; creates go over those of `call`.
    pub fn new(watch: Client, call: Client, namespace: String) -> Self {
        let create = call.clone();
        Self::over(watch, call, create, namespace)
    }

    fn over(watch: Client, call: Client, create: Client, namespace: String) -> Self {
        Self {
            watch: bounded(watch, ANSWER, SILENCE),
            call: bounded(call, ANSWER, ANSWER),
            create: bounded(create, ADMITTED, ADMITTED),
            namespace,
        }
    }

    /// Connects to the cluster of the kubeconfig file; without one as the pod's own service account, or else as kubectl would.
    ///
    /// # Errors
    /// When there is no configuration, or it cannot be used.
    pub async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<Self> {
        Self::connect_as(kubeconfig, None).await
    }

    /// The same, acting as the user `other` where one is named.
    ///
    /// # Errors
    /// When there is no configuration, or it cannot be used.
    pub async fn connect_as(
        kubeconfig: Option<&Path>,
        other: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut config = config(kubeconfig).await?;
        if other.is_some() {
            config.auth_info.impersonate = other.map(str::to_owned);
        }
        // kube's own retries take minutes and hide what happens; every caller here has its own.
        config.default_retry = false;
        config.read_timeout = Some(SILENCE);
        let watch = Client::try_from(config.clone())?;
        config.read_timeout = Some(ANSWER);
        config.reset_reader_on_write = true;
        let call = Client::try_from(config.clone())?;
        config.read_timeout = Some(ADMITTED);
        let namespace = config.default_namespace.clone();
        Ok(Self::over(
            watch,
            call,
            Client::try_from(config)?,
            namespace,
        ))
    }
}

/// A client over `client` whose answers begin within `answer`, and are never silent for longer than `silence`.
fn bounded(client: Client, answer: Duration, silence: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = ServiceBuilder::new()
        .layer(ResponseBodyTimeoutLayer::new(silence))
        .timeout(answer)
        .service_fn(move |request| {
            let client = client.clone();
            async move { client.send(request).await }
        });
    Client::new(service, namespace)
}

/// A client without limits of ours, for connections that are upgraded and last.
///
/// # Errors
/// When there is no configuration, or it cannot be used.
pub async fn unbounded(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = config(kubeconfig).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = inferred(kubeconfig).await?;
    config.headers.push((
        USER_AGENT,
        HeaderValue::from_static(concat!("revisor/", env!("CARGO_PKG_VERSION"))),
    ));
    Ok(config)
}

async fn inferred(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    if let Some(file) = kubeconfig {
        let kubeconfig = Kubeconfig::read_from(file)?;
        return Ok(
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?,
        );
    }
    // In a pod a stray kubeconfig must not win over the pod's own service account.
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Ok(Config::incluster()?);
    }
    Ok(Config::infer().await?)
}
