//! Joins the read API and the admin port to the rest of a replica.

use super::deps::Deps;
use super::replica::Replica;
use super::tasks::Tasks;
use super::{ServeArgs, certificate};
use crate::cache::RevisionLister;
use crate::record::queue::{Held, Queue};
use crate::redact::Names;
use crate::serve::admin::{Admin, Health};
use crate::serve::api::{Api, Options};
use crate::serve::auth::{Authenticator, Reviews};
use crate::serve::listen::{Handler, serve};
use crate::serve::status::Backlog;
use crate::serve::tls::Tls;
use anyhow::{Context, anyhow};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How many connections the admin port holds.
const ADMIN_CONNECTIONS: usize = 64;
/// How many connections the port for probes holds.
const HEALTH_CONNECTIONS: usize = 16;

/// The ports of a process.
pub struct Ports {
    /// For /livez, /readyz, /metrics and /status.
    pub admin: TcpListener,
    /// For probes from inside the pod, where they are wanted.
    pub health: Option<TcpListener>,
    /// For the read API, where it is served.
    pub rest: Option<TcpListener>,
}

impl Ports {
    /// Takes them; a process that cannot be asked how it is must not record.
    ///
    /// # Errors
    /// Names the flag and the address that cannot be listened on.
    pub async fn take(args: &ServeArgs) -> anyhow::Result<Self> {
        Ok(Self {
            admin: listen("--admin-listen", args.admin_listen).await?,
            health: match args.health_listen {
                Some(address) => Some(listen("--health-listen", address).await?),
                None => None,
            },
            rest: if args.rest {
                Some(listen("--listen", args.listen).await?)
            } else {
                None
            },
        })
    }
}

async fn listen(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{flag} {address}"))
}

/// Starts all ports, each as a task that ends with the replica or when that stops.
pub(super) fn start(flags: &ServeArgs, ports: Ports, replica: &mut Replica) -> anyhow::Result<()> {
    let tls = certificate::start(flags, &replica.deps, &mut replica.serving)?;
    let acceptor = tls.as_ref().map(Tls::acceptor).transpose()?;
    let deps = &replica.deps;
    if let Some(listener) = ports.health {
        // It ends last, as the admin port does.
        let port = Port {
            name: "health",
            max: HEALTH_CONNECTIONS,
            tls: None,
            stop: CancellationToken::new(),
        };
        port.open(listener, Health(deps.ready.clone()), &mut replica.serving);
    }
    let on_loopback = flags.admin_listen.ip().is_loopback();
    let port = Port {
        name: "admin",
        max: ADMIN_CONNECTIONS,
        tls: acceptor.clone().filter(|_| !on_loopback),
        // It ends last, so that a process that drains can still be asked how it is.
        stop: CancellationToken::new(),
    };
    let callers = Reviews::of_any_audience(deps.clients.call.clone(), flags.audience.clone());
    let callers = (!on_loopback).then(|| authenticator(callers, None, deps));
    let admin = admin(deps, callers.transpose()?, tls);
    port.open(ports.admin, admin, &mut replica.serving);
    let Some(listener) = ports.rest else {
        return Ok(());
    };
    let callers = Reviews::new(deps.clients.call.clone(), flags.audience.clone());
    let callers = authenticator(callers, flags.rate_per_identity, deps)?;
    let api = api(flags, deps, (!flags.insecure_no_auth).then_some(callers));
    let port = Port {
        name: "REST",
        max: usize::try_from(flags.max_connections).unwrap_or(usize::MAX),
        tls: acceptor.filter(|_| !flags.insecure_no_auth),
        stop: deps.stop.clone(),
    };
    port.open(listener, api, &mut replica.answering);
    Ok(())
}

fn authenticator(
    reviews: Reviews,
    rate: Option<u32>,
    deps: &Deps,
) -> anyhow::Result<Authenticator> {
    Authenticator::new(reviews, rate, &deps.metrics)
        .map_err(|_| anyhow!("the system has no randomness"))
}

fn admin(deps: &Deps, authenticator: Option<Authenticator>, tls: Option<Tls>) -> Admin {
    Admin {
        ready: deps.ready.clone(),
        metrics: deps.metrics.clone(),
        backlog: Arc::new(deps.queue.clone()),
        identity: deps.identity.clone(),
        leads: deps.leads.clone(),
        authenticator,
        certificate: tls,
    }
}

impl Backlog for Queue {
    fn writes(&self) -> usize {
        self.len()
    }

    fn holds(&self) -> Vec<Held> {
        self.held()
    }
}

fn api(flags: &ServeArgs, deps: &Deps, authenticator: Option<Authenticator>) -> Api {
    let names: Names = deps.recorder.settings.names.clone();
    let cache: Arc<dyn RevisionLister> = Arc::new(deps.cache.clone());
    Api {
        cache,
        ready: deps.filled.clone(),
        authenticator,
        client: deps.clients.call.clone(),
        catalogue: deps.recorder.catalogue.clone(),
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
        metrics: deps.metrics.clone(),
        fetches: Api::fetches(),
    }
}

/// One port.
struct Port {
    name: &'static str,
    max: usize,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
}

impl Port {
    fn open<H: Handler>(self, listener: TcpListener, handler: H, tasks: &mut Tasks) {
        let name = self.name;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, tls = self.tls.is_some(), "{name} listening");
        }
        let serving = serve(listener, self.tls, Arc::new(handler), self.max, self.stop);
        tasks.spawn(name, serving);
    }
}
