//! Joins the read API and the admin port to the rest.

use super::Parts;
use crate::cache::RevisionLister;
use crate::config::{RunArgs, ServeArgs};
use crate::serve::admin::Admin;
use crate::serve::api::{Api, Options};
use crate::serve::auth::{Authenticator, Reviews};
use crate::serve::listen::{Handler, serve};
use crate::serve::tls::{Files, Tls};
use crate::view::redact::Names;
use anyhow::{Context, anyhow};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How many connections the admin port holds.
const ADMIN_CONNECTIONS: usize = 64;
/// The task that answers requests to the read API; told to stop, it ends when it has answered those it has.
pub(super) const REST: &str = "REST";

/// The ports of a process.
pub(super) struct Ports {
    admin: TcpListener,
    rest: TcpListener,
}

impl Ports {
    /// Takes them; a process that cannot be asked how it is must not record.
    pub(super) async fn take(args: &ServeArgs) -> anyhow::Result<Self> {
        Ok(Self {
            admin: listen("--admin-listen", args.admin_listen).await?,
            rest: listen("--listen", args.listen).await?,
        })
    }
}

async fn listen(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{flag} {address}"))
}

/// Starts both ports, each as a task that ends with the process or when told to stop.
pub(super) fn start(
    args: &RunArgs,
    parts: &Parts,
    ports: Ports,
    tasks: &mut JoinSet<&'static str>,
) -> anyhow::Result<()> {
    let flags = &args.serve;
    let authenticator = authenticator(flags, parts)?;
    let acceptor = tls(flags, &parts.namespace, tasks)?;
    let on_loopback = flags.admin_listen.ip().is_loopback();
    let admin = Admin {
        ready: parts.ready.clone(),
        metrics: parts.metrics.clone(),
        authenticator: (!on_loopback).then(|| authenticator.clone()),
    };
    let port = Port {
        name: "admin",
        max: ADMIN_CONNECTIONS,
        tls: acceptor.clone().filter(|_| !on_loopback),
    };
    // The admin port ends last, so that a process that drains can still be asked how it is.
    port.open(ports.admin, admin, CancellationToken::new(), tasks);
    let api = api(
        flags,
        parts,
        (!flags.insecure_no_auth).then_some(authenticator),
    );
    let max = usize::try_from(flags.max_connections).unwrap_or(usize::MAX);
    let port = Port {
        name: REST,
        max,
        tls: acceptor.filter(|_| !flags.insecure_no_auth),
    };
    port.open(ports.rest, api, parts.stop.clone(), tasks);
    Ok(())
}

fn authenticator(flags: &ServeArgs, parts: &Parts) -> anyhow::Result<Authenticator> {
    let reviews = Reviews::new(parts.clients.call.clone(), flags.audience.clone());
    Authenticator::new(reviews, flags.rate_per_identity, &parts.metrics)
        .map_err(|_| anyhow!("the system has no randomness"))
}

fn api(flags: &ServeArgs, parts: &Parts, authenticator: Option<Authenticator>) -> Api {
    let names: Names = parts.recorder.settings.names.clone();
    let cache: Arc<dyn RevisionLister> = Arc::new(parts.cache.clone());
    Api {
        cache,
        ready: parts.filled.clone(),
        authenticator,
        client: parts.clients.call.clone(),
        catalogue: parts.recorder.catalogue.clone(),
        names: Arc::new(names),
        options: Options {
            origins: flags
                .cors_allowed_origin
                .iter()
                .map(|origin| origin.0.clone())
                .collect(),
            sdk_token: flags.sdk_token_endpoint,
            check_workload: flags.check_workload_access,
            access_log: flags.access_log,
        },
        metrics: parts.metrics.clone(),
        fetches: Api::fetches(),
    }
}

/// What encrypts, when anything does.
fn tls(
    flags: &ServeArgs,
    namespace: &str,
    tasks: &mut JoinSet<&'static str>,
) -> anyhow::Result<Option<TlsAcceptor>> {
    if flags.plain_http {
        if !flags.listen.ip().is_loopback() {
            tracing::warn!(address = %flags.listen, "--plain-http: tokens are readable to who sees the network");
        }
        return Ok(None);
    }
    let tls = match (&flags.tls_cert_file, &flags.tls_key_file) {
        (Some(certificate), Some(key)) => Tls::from_files(Files {
            certificate: certificate.clone(),
            key: key.clone(),
        })?,
        _ => Tls::self_signed(&names(namespace))?,
    };
    let acceptor = tls.acceptor()?;
    tasks.spawn(async move {
        tls.follow().await;
        "certificate"
    });
    Ok(Some(acceptor))
}

/// The names of the Service, as deploy/ has it.
fn names(namespace: &str) -> Vec<String> {
    let service = format!("revisor.{namespace}");
    vec![
        "localhost".to_owned(),
        service.clone(),
        format!("{service}.svc"),
        format!("{service}.svc.cluster.local"),
    ]
}

/// One port.
struct Port {
    name: &'static str,
    max: usize,
    tls: Option<TlsAcceptor>,
}

impl Port {
    fn open<H: Handler>(
        self,
        listener: TcpListener,
        handler: H,
        stop: CancellationToken,
        tasks: &mut JoinSet<&'static str>,
    ) {
        let name = self.name;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, tls = self.tls.is_some(), "{name} listening");
        }
        tasks.spawn(async move {
            serve(listener, self.tls, Arc::new(handler), self.max, stop).await;
            name
        });
    }
}
