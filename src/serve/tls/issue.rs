//! Makes certificates and reads how long they are valid. No I/O; the only input beside its arguments is randomness.

use super::Pair;
use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::PrivateKeyDer;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The subject of every authority, so that one that was renewed with its key verifies what the older one signed.
const AUTHORITY: &str = "revisor-ca";
/// An authority lives so many times as long as the certificates that it signs.
const AUTHORITY_LIVES: i32 = 40;
/// Clocks of readers may be behind by this much.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: DateTime<Utc>,
    pub(super) not_after: DateTime<Utc>,
}

impl Validity {
    /// Of a certificate that is made now. The beginning lies a little back, by at most a tenth of the life.
    fn from(now: DateTime<Utc>, life: TimeDelta) -> Self {
        Self {
            not_before: now - SKEW.min(life / 10),
            not_after: now + life,
        }
    }

    /// Whether two thirds of the life are over.
    pub(super) fn is_due(&self, now: DateTime<Utc>) -> bool {
        now >= self.not_before + (self.not_after - self.not_before) * 2 / 3
    }
}

/// A certificate or an authority, with its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// A certificate for `names` that nobody else signed, in its own words valid for ever.
pub(super) fn self_signed(names: &[String]) -> anyhow::Result<Pair> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = subject("revisor");
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    Pair::new(vec![certificate.der().clone()], private)
}

/// A new authority for certificates that live for `life`; with `key`, in PEM, an old one for another life.
pub(super) fn authority(
    key: Option<&str>,
    now: DateTime<Utc>,
    life: TimeDelta,
) -> anyhow::Result<Issued> {
    let key = match key {
        Some(text) => KeyPair::from_pem(text).context("the key of the authority")?,
        None => KeyPair::generate()?,
    };
    let params = authority_params(Validity::from(now, life * AUTHORITY_LIVES))?;
    Ok(Issued {
        certificate: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

fn authority_params(validity: Validity) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = subject(AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit(&mut params, validity)?;
    Ok(params)
}

/// A certificate for `names`, signed with the key of `authority`.
pub(super) fn leaf(
    authority: &Issued,
    names: &[String],
    now: DateTime<Utc>,
    life: TimeDelta,
) -> anyhow::Result<Issued> {
    let validity = Validity::from(now, life);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = subject("revisor");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    limit(&mut params, validity)?;
    let signer = KeyPair::from_pem(&authority.key).context("the key of the authority")?;
    let issuer = Issuer::new(authority_params(validity)?, signer);
    let key = KeyPair::generate()?;
    Ok(Issued {
        certificate: params.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn limit(params: &mut CertificateParams, validity: Validity) -> anyhow::Result<()> {
    params.not_before = OffsetDateTime::from_unix_timestamp(validity.not_before.timestamp())?;
    params.not_after = OffsetDateTime::from_unix_timestamp(validity.not_after.timestamp())?;
    Ok(())
}

fn parse(der: &[u8]) -> anyhow::Result<X509Certificate<'_>> {
    let (_, certificate) = X509Certificate::from_der(der).context("not an X.509 certificate")?;
    Ok(certificate)
}

/// From when to when a certificate in DER is valid.
pub(super) fn validity(der: &[u8]) -> anyhow::Result<Validity> {
    let certificate = parse(der)?;
    let time =
        |seconds: i64| DateTime::from_timestamp(seconds, 0).context("a time beyond all calendars");
    Ok(Validity {
        not_before: time(certificate.validity().not_before.timestamp())?,
        not_after: time(certificate.validity().not_after.timestamp())?,
    })
}

/// Whether a certificate in DER is for all of `names`.
pub(super) fn is_for(der: &[u8], names: &[String]) -> anyhow::Result<bool> {
    let certificate = parse(der)?;
    let alternatives = certificate.subject_alternative_name()?;
    let known: Vec<_> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect();
    Ok(names.iter().all(|name| known.contains(&name.as_str())))
}
