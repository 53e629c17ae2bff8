//! The connection to the API server, from the flags that kubectl has.

use super::failure::Failure;
use crate::history::moment::duration;
use anyhow::{Context, bail};
use clap::{ArgAction, Args};
use http::header::USER_AGENT;
use http::{HeaderValue, Request};
use kube::client::Body;
use kube::config::{
    AuthInfo, Cluster, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kube::{Client, Config};
use std::path::PathBuf;
use std::time::Duration;
use tower::{BoxError, ServiceBuilder};

/// An answer comes within this time, unless a flag says otherwise.
const ANSWER: Duration = Duration::from_secs(30);

/// From this verbosity on requests are printed, as kubectl does.
const REQUESTS: u8 = 6;

/// The name in a kubeconfig of a cluster and a user that flags make.
const FLAGS: &str = "kubectl-revisor-flags";

/// Connection to the cluster, with the flags of kubectl.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArgs {
    /// Namespace of the workload; the one of the current context when not given
    #[arg(short, long, global = true)]
    pub(super) namespace: Option<String>,
    /// Kubeconfig file; $KUBECONFIG or ~/.kube/config when not given
    #[arg(long, value_name = "FILE", global = true)]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    context: Option<String>,
    /// Cluster of the kubeconfig
    #[arg(long, global = true)]
    cluster: Option<String>,
    /// User of the kubeconfig
    #[arg(long, global = true)]
    user: Option<String>,
    /// Address of the API server
    #[arg(short, long, value_name = "URL", global = true)]
    server: Option<String>,
    /// Bearer token
    #[arg(long, global = true)]
    token: Option<String>,
    /// User to impersonate
    #[arg(long = "as", value_name = "USER", global = true)]
    as_user: Option<String>,
    /// Group to impersonate; may be repeated
    #[arg(long, value_name = "GROUP", global = true)]
    as_group: Vec<String>,
    /// Uid to impersonate
    #[arg(long, value_name = "UID", global = true)]
    as_uid: Option<String>,
    /// Certificate authority of the API server
    #[arg(long, value_name = "FILE", global = true)]
    certificate_authority: Option<PathBuf>,
    /// Client certificate
    #[arg(long, value_name = "FILE", global = true)]
    client_certificate: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(long, value_name = "FILE", global = true)]
    client_key: Option<PathBuf>,
    /// Do not check the certificate of the API server
    #[arg(long, global = true)]
    insecure_skip_tls_verify: bool,
    /// Name that the certificate of the API server is checked against
    #[arg(long, value_name = "NAME", global = true)]
    tls_server_name: Option<String>,
    /// How long a request may take: 5s, 1m; 0 for no limit [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = timeout, global = true)]
    request_timeout: Option<Duration>,
    /// Verbosity; from 6 on requests are printed on standard error
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0, hide_default_value = true, action = ArgAction::Set, global = true)]
    verbosity: u8,
}

/// A duration as kubectl takes it: with a unit, or whole seconds.
fn timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds
        .or_else(|| duration(text))
        .ok_or_else(|| format!("{text:?} is no duration, such as 5s, 2m or 0"))
}

/// A connection, and where in the cluster a command works.
pub(super) struct Session {
    /// The API server.
    pub(super) client: Client,
    /// The namespace.
    pub(super) namespace: String,
    /// The API server's address, for errors.
    pub(super) server: String,
    /// Flags of commands that are printed, so that they lead to the same place.
    flags: String,
}

impl Session {
    /// Connects as the flags say.
    pub(super) async fn connect(args: &ConnectionArgs) -> anyhow::Result<Self> {
        let (mut config, context) = config(args).await?;
        config.headers.push((
            USER_AGENT,
            HeaderValue::from_static(concat!("kubectl-revisor/", env!("CARGO_PKG_VERSION"))),
        ));
        config.default_retry = false;
        let limit = args.request_timeout.unwrap_or(ANSWER);
        let limit = (!limit.is_zero()).then_some(limit);
        config.read_timeout = limit;
        config.connect_timeout = limit;
        let namespace = args.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).context("the connection cannot be made")?;
        let verbose = args.verbosity >= REQUESTS;
        Ok(Self {
            client: wrapped(&client, limit, verbose),
            namespace,
            server,
            flags: printed_flags(args, context.as_deref()),
        })
    }

    /// Flags with the namespace and the context, for commands that are printed; they begin with a space.
    pub(super) fn flags(&self, namespace: &str) -> String {
        format!(" -n {namespace}{}", self.flags)
    }

    /// The error of a request, for people. `resource` is named as RBAC names it; without a namespace all were asked for.
    pub(super) fn explain(
        &self,
        error: kube::Error,
        verb: &str,
        resource: &str,
        namespace: Option<&str>,
    ) -> anyhow::Error {
        let flags = &self.flags;
        Failure {
            verb,
            resource,
            namespace,
            flags,
        }
        .explain(error, &self.server)
    }
}

fn printed_flags(args: &ConnectionArgs, context: Option<&str>) -> String {
    let mut flags = String::new();
    if let Some(file) = &args.kubeconfig {
        let file = file.display().to_string();
        flags.push_str(" --kubeconfig ");
        flags.push_str(&shell_words::quote(&file));
    }
    if let Some(context) = context {
        flags.push_str(" --context ");
        flags.push_str(&shell_words::quote(context));
    }
    flags
}

/// The configuration, and the context that it comes from.
async fn config(args: &ConnectionArgs) -> anyhow::Result<(Config, Option<String>)> {
    let read = match &args.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let mut kubeconfig = match read {
        Ok(kubeconfig) => kubeconfig,
        Err(_) if args.server.is_some() && args.kubeconfig.is_none() => Kubeconfig::default(),
        Err(error) if args.kubeconfig.is_none() => {
            let in_cluster = Config::incluster();
            let config = in_cluster.map_err(|_| error).context(NO_CLUSTER)?;
            return Ok((config, None));
        }
        Err(error) => return Err(error).context("the kubeconfig cannot be read"),
    };
    let context = args
        .context
        .clone()
        .or_else(|| kubeconfig.current_context.clone());
    let options = override_with(&mut kubeconfig, args, context.as_deref())?;
    let named = options.context.clone().filter(|context| context != FLAGS);
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Ok((config.context(NO_CLUSTER)?, named))
}

/// The contexts of the kubeconfig; none when it cannot be read.
pub(super) fn contexts(args: &ConnectionArgs) -> Vec<String> {
    let read = match &args.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let contexts = read.map(|it| it.contexts).unwrap_or_default();
    contexts.into_iter().map(|it| it.name).collect()
}

const NO_CLUSTER: &str = "no cluster to connect to; --kubeconfig, --context and --server name one";

/// Puts what flags say into the kubeconfig, and returns which of its parts are used.
fn override_with(
    kubeconfig: &mut Kubeconfig,
    args: &ConnectionArgs,
    context: Option<&str>,
) -> anyhow::Result<KubeConfigOptions> {
    let context = if let Some(context) = context {
        context.to_owned()
    } else if args.server.is_some() || args.cluster.is_some() {
        kubeconfig.contexts.push(NamedContext {
            name: FLAGS.to_owned(),
            context: Some(kube::config::Context::default()),
            ..NamedContext::default()
        });
        FLAGS.to_owned()
    } else {
        bail!("the kubeconfig has no current context; --context names one");
    };
    let of_context = kubeconfig.contexts.iter().find(|it| it.name == context);
    let of_context = of_context
        .and_then(|it| it.context.clone())
        .unwrap_or_default();
    let cluster = args.cluster.clone().unwrap_or(of_context.cluster);
    let user = args.user.clone().or(of_context.user);
    let mut options = KubeConfigOptions {
        context: Some(context),
        cluster: Some(cluster.clone()),
        user: user.clone(),
    };
    if args.changes_cluster() {
        let found = kubeconfig.clusters.iter().find(|it| it.name == cluster);
        let mut changed = found.and_then(|it| it.cluster.clone()).unwrap_or_default();
        args.change_cluster(&mut changed);
        kubeconfig.clusters.insert(
            0,
            NamedCluster {
                name: FLAGS.to_owned(),
                cluster: Some(changed),
                ..NamedCluster::default()
            },
        );
        options.cluster = Some(FLAGS.to_owned());
    }
    if args.changes_user() {
        let found = kubeconfig
            .auth_infos
            .iter()
            .find(|it| Some(&it.name) == user.as_ref());
        let mut changed = found
            .and_then(|it| it.auth_info.clone())
            .unwrap_or_default();
        args.change_user(&mut changed);
        kubeconfig.auth_infos.insert(
            0,
            NamedAuthInfo {
                name: FLAGS.to_owned(),
                auth_info: Some(changed),
                ..NamedAuthInfo::default()
            },
        );
        options.user = Some(FLAGS.to_owned());
    }
    Ok(options)
}

impl ConnectionArgs {
    fn changes_cluster(&self) -> bool {
        self.server.is_some()
            || self.certificate_authority.is_some()
            || self.insecure_skip_tls_verify
            || self.tls_server_name.is_some()
    }

    fn change_cluster(&self, cluster: &mut Cluster) {
        if let Some(server) = &self.server {
            let has_scheme = server.contains("://");
            cluster.server = Some(if has_scheme {
                server.clone()
            } else {
                format!("https://{server}")
            });
        }
        if let Some(file) = &self.certificate_authority {
            cluster.certificate_authority = Some(file.display().to_string());
            cluster.certificate_authority_data = None;
        }
        if self.insecure_skip_tls_verify {
            cluster.insecure_skip_tls_verify = Some(true);
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = None;
        }
        if let Some(name) = &self.tls_server_name {
            cluster.tls_server_name = Some(name.clone());
        }
    }

    fn changes_user(&self) -> bool {
        self.token.is_some()
            || self.as_user.is_some()
            || !self.as_group.is_empty()
            || self.as_uid.is_some()
            || self.client_certificate.is_some()
            || self.client_key.is_some()
    }

    fn change_user(&self, user: &mut AuthInfo) {
        if let Some(token) = &self.token {
            // A token is the whole identity, as with kubectl.
            *user = AuthInfo {
                impersonate: user.impersonate.take(),
                impersonate_groups: user.impersonate_groups.take(),
                token: Some(token.clone().into()),
                ..AuthInfo::default()
            };
        }
        if let Some(name) = &self.as_user {
            user.impersonate = Some(name.clone());
        }
        if !self.as_group.is_empty() {
            user.impersonate_groups = Some(self.as_group.clone());
        }
        if let Some(uid) = &self.as_uid {
            user.impersonate_uid = Some(uid.clone());
        }
        if let Some(file) = &self.client_certificate {
            user.client_certificate = Some(file.display().to_string());
            user.client_certificate_data = None;
        }
        if let Some(file) = &self.client_key {
            user.client_key = Some(file.display().to_string());
            user.client_key_data = None;
        }
    }
}

/// A client whose answers begin in time, and whose requests are printed when that is wanted.
fn wrapped(client: &Client, limit: Option<Duration>, verbose: bool) -> Client {
    let inner = client.clone();
    let service = ServiceBuilder::new()
        .option_layer(limit.map(tower::timeout::TimeoutLayer::new))
        .service_fn(move |request: Request<Body>| {
            let inner = inner.clone();
            async move {
                let line = verbose.then(|| format!("{} {}", request.method(), request.uri()));
                let started = tokio::time::Instant::now();
                let answer = inner.send(request).await.map_err(BoxError::from);
                if let Some(line) = line {
                    let took = started.elapsed().as_millis();
                    let status = match &answer {
                        Ok(answer) => answer.status().to_string(),
                        Err(_) => "no answer".to_owned(),
                    };
                    eprintln!("{line} {status} in {took} ms");
                }
                answer
            }
        });
    Client::new(service, client.default_namespace().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECONFIG: &str = "
current-context: a
contexts:
- {name: a, context: {cluster: one, user: ann, namespace: ml}}
- {name: b, context: {cluster: two, user: bob}}
clusters:
- {name: one, cluster: {server: 'https://one:6443'}}
- {name: two, cluster: {server: 'https://two:6443'}}
users:
- {name: ann, user: {token: t-ann, as: robot}}
- {name: bob, user: {username: bob, password: x}}
";

    async fn config_of(args: ConnectionArgs) -> (Config, Option<String>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), KUBECONFIG).expect("written");
        let kubeconfig = Some(file.path().to_owned());
        config(&ConnectionArgs { kubeconfig, ..args })
            .await
            .expect("a configuration")
    }

    /// A flag that is given; none for an empty text.
    fn some(text: &str) -> Option<String> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    #[tokio::test]
    async fn flags_win_over_the_kubeconfig() {
        let (plain, context) = config_of(ConnectionArgs::default()).await;
        assert_eq!(
            (plain.cluster_url.host(), context.as_deref()),
            (Some("one"), Some("a"))
        );
        assert_eq!(plain.default_namespace, "ml");
        let args = ConnectionArgs {
            context: some("b"),
            user: some("ann"),
            ..ConnectionArgs::default()
        };
        let (mixed, _) = config_of(args).await;
        assert_eq!(mixed.cluster_url.host(), Some("two"));
        assert_eq!(mixed.auth_info.impersonate, some("robot"));
        let args = ConnectionArgs {
            cluster: some("two"),
            server: some("three:7443"),
            as_user: some("eve"),
            as_group: vec!["g".to_owned(), "h".to_owned()],
            as_uid: some("42"),
            token: some("secret"),
            insecure_skip_tls_verify: true,
            ..ConnectionArgs::default()
        };
        let (changed, context) = config_of(args).await;
        assert_eq!(changed.cluster_url.to_string(), "https://three:7443/");
        assert!(changed.accept_invalid_certs);
        let user = changed.auth_info;
        assert_eq!(
            (user.impersonate, user.impersonate_uid),
            (some("eve"), some("42"))
        );
        assert_eq!(user.impersonate_groups.map(|all| all.len()), Some(2));
        assert!(user.token.is_some() && user.username.is_none());
        assert_eq!(context, some("a"));
    }

    #[tokio::test]
    async fn a_server_needs_no_kubeconfig() {
        let args = ConnectionArgs {
            server: some("http://127.0.0.1:1"),
            ..ConnectionArgs::default()
        };
        let options = override_with(&mut Kubeconfig::default(), &args, None).expect("enough");
        assert_eq!(options.cluster.as_deref(), Some(FLAGS));
        let nothing = override_with(&mut Kubeconfig::default(), &ConnectionArgs::default(), None);
        let error = nothing.err().expect("refused").to_string();
        assert!(error.contains("no current context"), "{error}");
    }

    #[test]
    fn printed_commands_lead_to_the_same_place() {
        let args = ConnectionArgs {
            kubeconfig: Some("my file".into()),
            ..ConnectionArgs::default()
        };
        assert_eq!(
            printed_flags(&args, Some("a")),
            " --kubeconfig 'my file' --context a"
        );
        assert_eq!(printed_flags(&ConnectionArgs::default(), None), "");
    }

    #[test]
    fn durations_are_those_of_kubectl() {
        assert_eq!(timeout("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(timeout("10"), Ok(Duration::from_secs(10)));
        assert_eq!(timeout("0"), Ok(Duration::ZERO));
        assert!(timeout("x").is_err() && timeout("-1").is_err());
    }
}
