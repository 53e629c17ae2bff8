//! Flags of the read API and the admin port.

use anyhow::ensure;
use clap::{ArgAction, Args};
use http::{HeaderValue, Uri};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

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
    /// Where /livez and /readyz are served without TLS for `revisor probe`, on a loopback address; nowhere without it
    #[arg(
        long,
        env = "REVISOR_HEALTH_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    pub health_listen: Option<SocketAddr>,
    /// Whether the read API is served at all
    #[arg(long, env = "REVISOR_REST", hide_env_values = true, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub rest: bool,
    /// Serve the read API without authentication and TLS; on a loopback address only
    #[arg(long, env = "REVISOR_INSECURE_NO_AUTH", hide_env_values = true)]
    pub insecure_no_auth: bool,
    /// Certificate chain in PEM, read again when it changes; without it and --tls-secret one is made that nobody can verify
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
    /// Certificate authority of the certificate, in PEM, to be published in --ca-config-map
    #[arg(
        long,
        env = "REVISOR_TLS_CA_FILE",
        hide_env_values = true,
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    pub tls_ca_file: Option<PathBuf>,
    /// Secret with the certificate that all replicas share: made by the first, and renewed after two thirds of its life
    #[arg(
        long,
        env = "REVISOR_TLS_SECRET",
        hide_env_values = true,
        value_name = "NAME",
        conflicts_with = "tls_cert_file"
    )]
    pub tls_secret: Option<String>,
    /// ConfigMap in which the certificate authority is published as ca.crt
    #[arg(
        long,
        env = "REVISOR_CA_CONFIG_MAP",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub ca_config_map: Option<String>,
    /// Another host name for the certificates that Revisor makes (repeatable), beside those of its Service
    #[arg(
        long,
        env = "REVISOR_TLS_NAME",
        hide_env_values = true,
        value_name = "HOST",
        value_delimiter = ','
    )]
    pub tls_name: Vec<String>,
    /// How long the certificates in --tls-secret live (suffixes d, h, m, s)
    #[arg(
        long,
        env = "REVISOR_CERTIFICATE_LIFE",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "90d"
    )]
    pub certificate_life: Life,
    /// Serve without TLS, for loopback and where a mesh or a proxy encrypts; tokens are readable on the way
    #[arg(
        long,
        env = "REVISOR_PLAIN_HTTP",
        hide_env_values = true,
        conflicts_with_all = ["tls_cert_file", "tls_secret"]
    )]
    pub plain_http: bool,
    /// Only tokens made for this audience are accepted by the read API (repeatable); without it those for the API server.
    /// /metrics and /status take both
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
        if let Some(address) = self.health_listen {
            ensure!(
                address.ip().is_loopback(),
                "--health-listen {address} is not a loopback address"
            );
        }
        if let Some(name) = &self.ca_config_map {
            ensure!(
                self.tls_secret.is_some() || self.tls_ca_file.is_some(),
                "--ca-config-map {name} needs --tls-secret or --tls-ca-file: there is no authority to publish"
            );
        }
        Ok(())
    }
}

/// How long a certificate lives: `90d`, `12h`, `30m`, `60s`; at least a minute, at most ten years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(pub Duration);

const SHORTEST: u64 = 60;
const LONGEST: u64 = 3_650 * 86_400;

impl FromStr for Life {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let seconds = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            "s" => 1,
            _ => return Err(format!("{text:?} does not end in one of d, h, m, s")),
        };
        let number: u64 = number
            .parse()
            .map_err(|_| format!("{text:?} is not a duration such as 90d"))?;
        match number.saturating_mul(seconds) {
            seconds @ SHORTEST..=LONGEST => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(format!("{text:?} is not between 60s and 3650d")),
        }
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
            (&["--plain-http", "--tls-secret", "x"], "--tls-secret"),
            (&["--certificate-life", "1s"], "between 60s and 3650d"),
            (&["--tls-ca-file", "x"], "--tls-cert-file"),
            (&["--rate-per-identity", "0"], "--rate-per-identity"),
            (&["--max-connections", "0"], "--max-connections"),
        ] {
            let error = parse(args).expect_err(named);
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn flags_that_need_each_other_are_named_with_their_values() {
        for (args, named) in [
            (
                &["--health-listen", "0.0.0.0:8082"][..],
                "--health-listen 0.0.0.0:8082",
            ),
            (&["--ca-config-map", "x"], "--ca-config-map x needs"),
        ] {
            let flags = parse(args).expect("valid by themselves");
            let error = flags.validate().expect_err(named).to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn lives_have_units_and_bounds() {
        let seconds = |text: &str| text.parse::<Life>().map(|life| life.0.as_secs());
        assert_eq!(seconds("90d"), Ok(90 * 86_400));
        assert_eq!(seconds("60s"), Ok(60));
        for bad in [
            "",
            "90",
            "d",
            "59s",
            "4000d",
            "99999999999999999999d",
            "-1d",
            "1 d",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
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
