//! Publishes the authority that readers verify the certificate with, in a ConfigMap.
//!
//! The bundle holds the present authority first, and the older ones that have not ended: a certificate that they signed
//! may still be shown by another replica.

use super::issue::validity;
use crate::clock;
use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The key of the bundle, as everything that reads authorities from a ConfigMap expects it.
pub const KEY: &str = "ca.crt";
/// More authorities than this are never in a bundle.
const MAX: usize = 4;

/// Writes one ConfigMap.
#[derive(Clone)]
pub struct Publisher {
    api: Api<ConfigMap>,
    name: String,
}

impl Publisher {
    /// For the ConfigMap `name`; nothing is sent yet.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
        }
    }

    /// Makes `authority`, in PEM, a part of the bundle. Another writer at the same time is no error: the next call sees
    /// what it wrote.
    ///
    /// # Errors
    /// When the ConfigMap cannot be read or written; names it.
    pub(super) async fn publish(&self, authority: &str) -> anyhow::Result<()> {
        let named = || format!("ConfigMap {}", self.name);
        ensure!(
            !certificates(authority).is_empty(),
            "the authority holds no certificate in PEM"
        );
        let mut map = self.api.get(&self.name).await.with_context(named)?;
        let data = map.data.get_or_insert_default();
        let old = data.get(KEY).map_or("", String::as_str);
        let Some(bundle) = bundle(authority, old, clock::now()) else {
            return Ok(());
        };
        data.insert(KEY.to_owned(), bundle);
        // The API server keeps its own when there are none.
        map.metadata.managed_fields = None;
        let params = PostParams::default();
        match self.api.replace(&self.name, &params, &map).await {
            Ok(_) => tracing::info!(config_map = self.name, "published the authority"),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error).with_context(named),
        }
        Ok(())
    }
}

/// The bundle to be written; none when `old` is good.
fn bundle(authority: &str, old: &str, now: DateTime<Utc>) -> Option<String> {
    let new = certificates(authority);
    let present = certificates(old);
    let alive = |der: &&CertificateDer<'_>| validity(der).is_ok_and(|v| v.not_after > now);
    if new.iter().all(|der| present.contains(der)) && present.iter().all(|der| alive(&der)) {
        return None;
    }
    let kept = present
        .iter()
        .filter(alive)
        .filter(|der| !new.contains(der));
    Some(new.iter().chain(kept).take(MAX).map(pem).collect())
}

/// The certificates of a text in PEM; what is no certificate is left out.
fn certificates(text: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text.as_bytes())
        .filter_map(Result::ok)
        .filter(|der| validity(der).is_ok())
        .collect()
}

fn pem(der: &CertificateDer<'static>) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::super::issue::authority;
    use super::*;
    use chrono::TimeDelta;

    fn made(now: DateTime<Utc>) -> String {
        let made = authority(None, now, TimeDelta::days(1)).expect("an authority");
        made.certificate
    }

    #[test]
    fn older_authorities_stay_in_the_bundle_until_they_end() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let [first, second] = [made(now), made(now + TimeDelta::days(39))];
        let one = bundle(&first, "not PEM at all", now).expect("something is written");
        assert_eq!(certificates(&one), certificates(&first));
        assert_eq!(bundle(&first, &one, now), None, "it is there");
        let two = bundle(&second, &one, now).expect("something is written");
        assert_eq!(certificates(&two).len(), 2);
        assert_eq!(certificates(&two)[0], certificates(&second)[0]);
        assert_eq!(bundle(&first, &two, now), None, "two replicas agree");
        let later = now + TimeDelta::days(41);
        let left = bundle(&second, &two, later).expect("the first has ended");
        assert_eq!(certificates(&left), certificates(&second));
    }

    #[test]
    fn an_emptied_bundle_is_filled_again_and_a_crowded_one_stays_small() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let mut text = String::new();
        for _ in 0..6 {
            text = bundle(&made(now), &text, now).expect("something is written");
        }
        assert_eq!(certificates(&text).len(), MAX);
        let first = made(now);
        assert!(bundle(&first, "", now).is_some_and(|text| !text.is_empty()));
    }
}
