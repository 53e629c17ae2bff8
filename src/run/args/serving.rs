//! Flags of the read API and the admin port.

use anyhow::ensure;
use clap::Args;
use http::{HeaderValue, Uri};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// How the read API and the admin port are served.
#[derive(Args, Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // Flags are.
pub struct ServeArgs {
    /// Where the read API listens
    #[arg(
        long,
        env = "REVISOR_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8443"
    )]
    pub listen: SocketAddr,
    /// Where /livez, /readyz, /metrics and /status listen; on a loopback address without TLS, and
    /// everybody may read all of them
    #[arg(
        long,
        env = "REVISOR_ADMIN_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8081"
    )]
    pub admin_listen: SocketAddr,
    /// Serve the read API without authentication and TLS; on a loopback address only
    #[arg(long, env = "REVISOR_INSECURE_NO_AUTH", hide_env_values = true)]
    pub insecure_no_auth: bool,
    /// Certificate chain in PEM, read again when it changes; without it one is made that nobody can verify
    #[arg(
        long,
        env = "REVISOR_TLS_CERT_FILE",
        hide_env_values = true,
        value_name = "FILE",
        requires = "tls_key_file"
    )]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(
        long,
        env = "REVISOR_TLS_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    pub tls_key_file: Option<PathBuf>,
    /// Serve without TLS, for loopback and where a mesh or a proxy encrypts; tokens are readable on the way
    #[arg(
        long,
        env = "REVISOR_PLAIN_HTTP",
        hide_env_values = true,
        conflicts_with = "tls_cert_file"
    )]
    pub plain_http: bool,
    /// Only tokens made for this audience are accepted (repeatable); without it those for the API server
    #[arg(
        long,
        env = "REVISOR_AUDIENCE",
        hide_env_values = true,
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub audience: Vec<String>,
    /// Pages of this origin, such as https://dashboard.example, may read answers (repeatable)
    #[arg(
        long,
        env = "REVISOR_CORS_ALLOWED_ORIGIN",
        hide_env_values = true,
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub cors_allowed_origin: Vec<Origin>,
    /// Serve POST /api/v1/token, which the vendor's SDK asks first
    #[arg(long, env = "REVISOR_SDK_TOKEN_ENDPOINT", hide_env_values = true)]
    pub sdk_token_endpoint: bool,
    /// Callers also need the right to get the workload itself
    #[arg(long, env = "REVISOR_CHECK_WORKLOAD_ACCESS", hide_env_values = true)]
    pub check_workload_access: bool,
    /// How many requests a second each caller may make, three seconds' worth of them at once; no limit without it
    #[arg(long, env = "REVISOR_RATE_PER_IDENTITY", hide_env_values = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_per_identity: Option<u32>,
    /// Log each request: who, what, and what came of it
    #[arg(long, env = "REVISOR_ACCESS_LOG", hide_env_values = true)]
    pub access_log: bool,
    /// How many connections the read API holds; beyond it the oldest that never had a good answer makes room
    #[arg(long, env = "REVISOR_MAX_CONNECTIONS", hide_env_values = true, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
}

impl ServeArgs {
    /// Checks flags against each other.
    ///
    /// # Errors
    /// Names both flags and their values.
    pub fn validate(&self) -> anyhow::Result<()> {
        ensure!(
            !self.insecure_no_auth || self.listen.ip().is_loopback(),
            "--insecure-no-auth needs a loopback address, and --listen is {}",
            self.listen
        );
        Ok(())
    }
}

/// Scheme, host and perhaps port of a page, as browsers send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(pub HeaderValue);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        HeaderValue::try_from(text)
            .ok()
            .filter(|_| is_origin(text))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not an origin such as https://dashboard.example"))
    }
}

/// Whether `text` is scheme and authority of a URI and nothing else.
fn is_origin(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str()
            .zip(uri.authority())
            .is_some_and(|(scheme, host)| format!("{scheme}://{host}") == text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Run {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn parse(args: &[&str]) -> Result<ServeArgs, String> {
        let args = ["run"].iter().chain(args);
        Run::try_parse_from(args)
            .map(|run| run.serve)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn no_auth_is_for_loopback() {
        let args = |listen: &str| {
            parse(&["--insecure-no-auth", "--listen", listen])
                .expect("valid")
                .validate()
        };
        assert!(args("127.0.0.1:1").is_ok());
        assert!(
            args("0.0.0.0:1")
                .expect_err("refused")
                .to_string()
                .contains("0.0.0.0:1")
        );
    }

    #[test]
    fn flags_that_contradict_each_other_are_named() {
        for (args, named) in [
            (&["--tls-cert-file", "x"][..], "--tls-key-file"),
            (&["--tls-key-file", "x"], "--tls-cert-file"),
            (
                &[
                    "--plain-http",
                    "--tls-cert-file",
                    "x",
                    "--tls-key-file",
                    "y",
                ],
                "--plain-http",
            ),
            (&["--rate-per-identity", "0"], "--rate-per-identity"),
            (&["--max-connections", "0"], "--max-connections"),
        ] {
            let error = parse(args).expect_err(named);
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn origins_are_exact() {
        for good in ["https://ui.example", "http://localhost:3000"] {
            assert_eq!(
                good.parse::<Origin>().map(|origin| origin.0),
                Ok(HeaderValue::from_static(good))
            );
        }
        for bad in [
            "*",
            "null",
            "ui.example",
            "https://ui.example/",
            "https://ui.example/x",
            "https://",
            "é",
        ] {
            assert!(
                bad.parse::<Origin>()
                    .expect_err(bad)
                    .contains("is not an origin"),
                "{bad}"
            );
        }
        let two = parse(&["--cors-allowed-origin", "https://a.b,https://c.d"]).expect("valid");
        assert_eq!(two.cors_allowed_origin.len(), 2);
    }
}
