//! The replicas of an installation, reached as `kubectl port-forward` reaches them.
//!
//! The API server's proxy would take the token away that the admin port asks for; a forwarded connection is TLS from end
//! to end. The token is one of the account `revisor-reader`, made for this one command: the caller's own never leaves.

use super::StatusArgs;
use super::admin::{AdminPort, certificates};
use crate::client;
use crate::serve::tls::publish::KEY as CA_KEY;
use anyhow::{Context, bail, ensure};
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::client::Body;
use kube::{Api, Client, ResourceExt};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The names of deploy/.
const SELECTOR: &str = "app.kubernetes.io/name=revisor";
const CA_CONFIG_MAP: &str = "revisor-ca";
const ACCOUNT: &str = "revisor-reader";
/// The API server makes no token that lives shorter.
const TOKEN_SECONDS: i64 = 600;
const DEADLINE: Duration = Duration::from_secs(15);

/// An installation in a namespace.
pub(super) struct Installation {
    client: Client,
    namespace: String,
    port: u16,
    token: HeaderValue,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection that carries bytes both ways.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<C: AsyncRead + AsyncWrite + Send + Unpin> Connection for C {}

impl Installation {
    /// Finds the replicas, and gets what their admin ports ask for.
    ///
    /// # Errors
    /// Names what is missing: a pod, a right, the authority of the certificate.
    pub(super) async fn find(args: &StatusArgs) -> anyhow::Result<(Self, Vec<Pod>)> {
        let client = client::unbounded(args.cluster.kubeconfig.as_deref())
            .await
            .context("no cluster to connect to")?;
        let namespace = args.namespace.clone();
        let pods = pods(&client, &namespace).await?;
        let encrypted = pods.iter().any(|pod| !speaks_plain_http(pod));
        let tls = if encrypted {
            Some(Arc::new(trust(&client, args).await?))
        } else {
            None
        };
        let token = token(&client, args).await?;
        let this = Self {
            client,
            namespace,
            port: args.admin_port,
            token,
            tls,
        };
        Ok((this, pods))
    }

    /// The admin port of a pod, over a connection of its own.
    ///
    /// # Errors
    /// Names the pod that cannot be reached.
    pub(super) async fn admin(&self, pod: &Pod) -> anyhow::Result<AdminPort> {
        let name = pod.name_any();
        let connected = timeout(DEADLINE, self.connect(pod, &name)).await;
        let sender = connected
            .map_err(anyhow::Error::from)
            .and_then(|sender| sender)
            .with_context(|| format!("pod {name}"))?;
        Ok(AdminPort::over(self.client_over(sender), name))
    }

    async fn connect(&self, pod: &Pod, name: &str) -> anyhow::Result<SendRequest<Body>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut forwarded = pods.portforward(name, &[self.port]).await?;
        let stream = forwarded
            .take_stream(self.port)
            .context("no stream was opened")?;
        let failure = forwarded.take_error(self.port);
        let stream = self.encrypt(pod, stream);
        let stream = tokio::select! {
            stream = stream => stream?,
            // The API server says why, where it knows.
            Some(why) = async { failure?.await } => bail!("{}", why.trim()),
        };
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Both end with the command.
        tokio::spawn(async move {
            let _ = connection.await;
            let _ = forwarded.join().await;
        });
        Ok(sender)
    }

    async fn encrypt(
        &self,
        pod: &Pod,
        stream: impl Connection + 'static,
    ) -> anyhow::Result<Box<dyn Connection>> {
        let Some(tls) = self.tls.clone().filter(|_| !speaks_plain_http(pod)) else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(format!("revisor.{}.svc", self.namespace))?;
        let stream = TlsConnector::from(tls).connect(name, stream).await?;
        Ok(Box::new(stream))
    }

    /// One request at a time over `sender`, with the token.
    fn client_over(&self, sender: SendRequest<Body>) -> Client {
        let sender = Arc::new(Mutex::new(sender));
        let token = self.token.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (sender, token) = (sender.clone(), token.clone());
            async move { send(&sender, request, token).await }
        });
        Client::new(service, self.namespace.clone())
    }
}

async fn send(
    sender: &Mutex<SendRequest<Body>>,
    mut request: Request<Body>,
    token: HeaderValue,
) -> hyper::Result<Response<Incoming>> {
    // A server on a connection of its own is asked for a path alone.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Default::default, Into::into);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(AUTHORIZATION, token);
    let mut sender = sender.lock().await;
    sender.ready().await?;
    sender.send_request(request).await
}

/// The pods that run.
async fn pods(client: &Client, namespace: &str) -> anyhow::Result<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let all = api.list(&ListParams::default().labels(SELECTOR)).await?;
    let running: Vec<_> = all.items.into_iter().filter(is_running).collect();
    ensure!(
        !running.is_empty(),
        "no pod with the label {SELECTOR} runs in namespace {namespace}: --namespace names another namespace, --admin \
         the address of a replica"
    );
    Ok(running)
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

/// Whether a pod was told to serve without TLS.
fn speaks_plain_http(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.into_iter().any(|container| {
        let args = container.args.iter().flatten();
        let mut env = container.env.iter().flatten();
        args.into_iter().any(|arg| arg == "--plain-http")
            || env
                .any(|var| var.name == "REVISOR_PLAIN_HTTP" && var.value.as_deref() == Some("true"))
    })
}

/// The value of the header with the token of the flag, or with one that is made for this.
async fn token(client: &Client, args: &StatusArgs) -> anyhow::Result<HeaderValue> {
    let token = match &args.token_file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("--token-file {}", file.display()))?,
        None => requested(client, &args.namespace).await?,
    };
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .context("the token holds characters that a token cannot have")?;
    value.set_sensitive(true);
    Ok(value)
}

async fn requested(client: &Client, namespace: &str) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec {
        expiration_seconds: Some(TOKEN_SECONDS),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest {
        spec,
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request(ACCOUNT, &PostParams::default(), &request)
        .await
        .with_context(|| {
            format!("a token of the account {ACCOUNT} in namespace {namespace} (--token-file names another)")
        })?;
    made.status
        .map(|status| status.token)
        .context("the API server made no token")
}

/// Trusts the authority of the flag, or the published one.
async fn trust(client: &Client, args: &StatusArgs) -> anyhow::Result<ClientConfig> {
    let authorities = match &args.certificate_authority {
        Some(file) => certificates(file)?,
        None => published(client, &args.namespace).await?,
    };
    let mut roots = RootCertStore::empty();
    for der in authorities {
        roots.add(CertificateDer::from(der))?;
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

async fn published(client: &Client, namespace: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let named = || format!("ConfigMap {CA_CONFIG_MAP} in namespace {namespace}");
    let map = maps.get(CA_CONFIG_MAP).await.with_context(named)?;
    let text = map.data.and_then(|mut data| data.remove(CA_KEY));
    let text = text.with_context(|| format!("{}: there is no {CA_KEY} yet", named()))?;
    CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|der| Ok(der?.to_vec()))
        .collect::<anyhow::Result<_>>()
        .with_context(named)
}
