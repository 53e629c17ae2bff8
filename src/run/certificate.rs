//! Chooses where the certificate of the ports comes from, and starts the tasks that keep it good.

use super::ServeArgs;
use super::deps::Deps;
use super::tasks::Tasks;
use crate::serve::tls::Tls;
use crate::serve::tls::files::{FileCertificate, Files};
use crate::serve::tls::publish::Publisher;
use crate::serve::tls::shared::{Order, SharedCertificate};
use tokio::sync::watch;

/// The certificate of the ports; none where nothing is encrypted. A certificate in a Secret keeps the replica unready
/// until it is there.
///
/// # Errors
/// Names the file that cannot be used.
pub(super) fn start(
    flags: &ServeArgs,
    deps: &Deps,
    tasks: &mut Tasks,
) -> anyhow::Result<Option<Tls>> {
    if flags.plain_http {
        if !flags.listen.ip().is_loopback() {
            tracing::warn!(address = %flags.listen, "--plain-http: tokens are readable to who sees the network");
        }
        return Ok(None);
    }
    let publisher = flags
        .ca_config_map
        .as_deref()
        .map(|name| Publisher::new(deps.clients.call.clone(), &deps.namespace, name));
    let names = names(&deps.namespace, &flags.tls_name);
    let tls = Tls::new(&deps.metrics);
    match (&flags.tls_cert_file, &flags.tls_key_file, &flags.tls_secret) {
        (Some(certificate), Some(key), _) => {
            let files = Files {
                certificate: certificate.clone(),
                key: key.clone(),
                authority: flags.tls_ca_file.clone(),
            };
            let certificate = FileCertificate::show(files, publisher, &tls)?;
            tasks.spawn("certificate", certificate.follow(tls.clone()));
        }
        (_, _, Some(secret)) => {
            let order = Order {
                names,
                life: flags.certificate_life.0,
            };
            let client = deps.clients.call.clone();
            let shared = SharedCertificate::new(client, &deps.namespace, secret, order, publisher);
            let ready = certificate_gate(deps);
            tasks.spawn("certificate", shared.follow(tls.clone(), ready));
        }
        _ => tls.make(&names)?,
    }
    tasks.spawn("end of the certificate", tls.clone().watch_end());
    Ok(Some(tls))
}

fn certificate_gate(deps: &Deps) -> watch::Sender<bool> {
    deps.ready.gate("certificate")
}

/// The names of the Service, as deploy/ has it, and those of the flags.
fn names(namespace: &str, more: &[String]) -> Vec<String> {
    let service = format!("revisor.{namespace}");
    let mut names = vec![
        "localhost".to_owned(),
        service.clone(),
        format!("{service}.svc"),
        format!("{service}.svc.cluster.local"),
    ];
    names.extend_from_slice(more);
    names
}
