//! The certificate that all replicas share, in a Secret: made by the first replica, renewed by any, shown by all.
//!
//! The Secret is the only truth: a replica that makes something shows it only when its write was accepted, and one whose
//! write came second reads again. Besides the certificate it holds an authority with its key, so that a renewal changes
//! nothing for readers. A Secret that was emptied is filled again with what this replica shows.

use super::issue::{self, Issued};
use super::publish::Publisher;
use super::{Origin, Pair, Tls};
use crate::clock;
use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// The keys of the Secret.
const CERTIFICATE: &str = "tls.crt";
const CERTIFICATE_KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";

/// How often the Secret is read.
const EVERY: Duration = Duration::from_secs(30);
/// How soon it is read again after a failure, or after somebody else wrote it first.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
const AFTER_CONFLICT: Duration = Duration::from_millis(100);

/// The data of the Secret.
type Data = BTreeMap<String, ByteString>;

/// What a certificate is made for.
#[derive(Clone, Debug)]
pub struct Order {
    /// The host names that it has to have.
    pub names: Vec<String>,
    /// How long it lives. It is renewed when two thirds of that are over.
    pub life: Duration,
}

/// A certificate, and the authority that signed it where that is Revisor's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Material {
    certificate: Issued,
    authority: Option<Issued>,
}

/// The result of a look at the Secret.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// It is good as it is.
    Show(Material),
    /// This has to be written to it first.
    Write(Material),
}

/// Follows one Secret.
pub struct SharedCertificate {
    api: Api<Secret>,
    name: String,
    order: Order,
    publisher: Option<Publisher>,
    /// What is shown now.
    held: Option<Material>,
}

impl SharedCertificate {
    /// For the Secret `name`; nothing is sent yet.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        order: Order,
        publisher: Option<Publisher>,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            order,
            publisher,
            held: None,
        }
    }

    /// Shows what the Secret holds and keeps it from ending, until it is dropped. `ready` is raised with the first
    /// certificate.
    pub async fn follow(mut self, tls: Tls, ready: watch::Sender<bool>) {
        loop {
            let wait = match self.step(&tls).await {
                Ok(true) => {
                    ready.send_replace(true);
                    EVERY.min(self.order.life / 20)
                }
                Ok(false) => AFTER_CONFLICT,
                Err(error) => {
                    tracing::error!(
                        secret = self.name,
                        error = format!("{error:#}"),
                        "the shared certificate could not be brought up to date"
                    );
                    AFTER_FAILURE
                }
            };
            sleep(wait).await;
        }
    }

    /// One look at the Secret; false when somebody else wrote it at the same time.
    async fn step(&mut self, tls: &Tls) -> anyhow::Result<bool> {
        let named = || format!("Secret {}", self.name);
        let mut secret = self.api.get(&self.name).await.with_context(named)?;
        let data = secret.data.take().unwrap_or_default();
        let material = match plan(&data, self.held.as_ref(), &self.order, clock::now()) {
            Ok(Plan::Show(material)) => material,
            Ok(Plan::Write(material)) => {
                if !self.write(secret, data, &material).await? {
                    return Ok(false);
                }
                material
            }
            Err(error) => return Err(error).with_context(named),
        };
        self.publish(&material).await;
        if self.held.as_ref() != Some(&material) {
            tls.show(pair(&material).with_context(named)?, Origin::Secret);
            self.held = Some(material);
        }
        Ok(true)
    }

    /// Writes the Secret as it was read, with `material`; false when it has changed meanwhile.
    async fn write(
        &self,
        mut secret: Secret,
        mut data: Data,
        material: &Material,
    ) -> anyhow::Result<bool> {
        data.extend(material.data());
        secret.data = Some(data);
        // The API server keeps its own when there are none.
        secret.metadata.managed_fields = None;
        let params = PostParams::default();
        match self.api.replace(&self.name, &params, &secret).await {
            Ok(_) => {
                tracing::info!(secret = self.name, "wrote a certificate");
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error).with_context(|| format!("Secret {}", self.name)),
        }
    }

    /// A reader without the authority is better off than one without an answer, so a failure stops nothing.
    async fn publish(&self, material: &Material) {
        let (Some(publisher), Some(authority)) = (&self.publisher, &material.authority) else {
            return;
        };
        if let Err(error) = publisher.publish(&authority.certificate).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "the authority of the certificate could not be published"
            );
        }
    }
}

impl Material {
    fn data(&self) -> impl Iterator<Item = (String, ByteString)> {
        let authority = self.authority.iter().flat_map(|authority| {
            [
                (AUTHORITY, &authority.certificate),
                (AUTHORITY_KEY, &authority.key),
            ]
        });
        [
            (CERTIFICATE, &self.certificate.certificate),
            (CERTIFICATE_KEY, &self.certificate.key),
        ]
        .into_iter()
        .chain(authority)
        .map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes())))
    }
}

/// Decides what is shown, and what has to be written before.
fn plan(
    data: &Data,
    held: Option<&Material>,
    order: &Order,
    now: DateTime<Utc>,
) -> anyhow::Result<Plan> {
    let certificate = issued(data, CERTIFICATE, CERTIFICATE_KEY)?;
    let authority = issued(data, AUTHORITY, AUTHORITY_KEY)?;
    match (certificate, authority) {
        (Some(certificate), Some(authority)) => keep(certificate, authority, order, now),
        // Somebody else put it there, and renews it.
        (Some(certificate), None) => Ok(Plan::Show(Material {
            certificate,
            authority: None,
        })),
        (None, Some(authority)) => make(&authority, order, now).map(Plan::Write),
        (None, None) => match held {
            Some(held) if held.authority.is_some() => Ok(Plan::Write(held.clone())),
            _ => make(&authority_of(None, order, now)?, order, now).map(Plan::Write),
        },
    }
}

/// Keeps a certificate of Revisor's own as long as it is good.
fn keep(
    certificate: Issued,
    authority: Issued,
    order: &Order,
    now: DateTime<Utc>,
) -> anyhow::Result<Plan> {
    let signer = der(&authority.certificate, AUTHORITY)?;
    let is_old = issue::validity(&signer)?.is_due(now);
    let authority = if is_old {
        authority_of(Some(&authority.key), order, now)?
    } else {
        authority
    };
    let shown = der(&certificate.certificate, CERTIFICATE)?;
    let is_good = !issue::validity(&shown)?.is_due(now) && issue::is_for(&shown, &order.names)?;
    if is_good && !is_old {
        return Ok(Plan::Show(Material {
            certificate,
            authority: Some(authority),
        }));
    }
    make(&authority, order, now).map(Plan::Write)
}

fn authority_of(key: Option<&str>, order: &Order, now: DateTime<Utc>) -> anyhow::Result<Issued> {
    issue::authority(key, now, life(order)?)
}

fn make(authority: &Issued, order: &Order, now: DateTime<Utc>) -> anyhow::Result<Material> {
    Ok(Material {
        certificate: issue::leaf(authority, &order.names, now, life(order)?)?,
        authority: Some(authority.clone()),
    })
}

fn life(order: &Order) -> anyhow::Result<TimeDelta> {
    TimeDelta::from_std(order.life).context("the life of certificates")
}

/// A certificate and its key; none when both are empty or absent.
fn issued(data: &Data, certificate: &str, key: &str) -> anyhow::Result<Option<Issued>> {
    match (text(data, certificate)?, text(data, key)?) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(Issued { certificate, key })),
        (Some(_), None) if certificate == AUTHORITY => Ok(None),
        (found, _) => {
            let [there, missing] = if found.is_some() {
                [certificate, key]
            } else {
                [key, certificate]
            };
            bail!("{there} is there and {missing} is not")
        }
    }
}

fn text(data: &Data, key: &str) -> anyhow::Result<Option<String>> {
    match data.get(key) {
        None => Ok(None),
        Some(ByteString(bytes)) if bytes.is_empty() => Ok(None),
        Some(ByteString(bytes)) => String::from_utf8(bytes.clone())
            .map(Some)
            .map_err(|_| anyhow::anyhow!("{key} is no text")),
    }
}

fn der(pem: &str, key: &str) -> anyhow::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).with_context(|| key.to_owned())
}

fn pair(material: &Material) -> anyhow::Result<Pair> {
    let Issued { certificate, key } = &material.certificate;
    Pair::from_pem(
        certificate.as_bytes(),
        key.as_bytes(),
        [CERTIFICATE, CERTIFICATE_KEY],
    )
}

#[cfg(test)]
mod tests;
