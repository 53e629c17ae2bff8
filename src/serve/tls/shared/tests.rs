//! Certificates that replicas share: made once, published, renewed, and taken from one another.

use super::*;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use std::sync::Arc;

const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

fn order() -> Order {
    Order {
        names: ["localhost", "revisor.revisor.svc"]
            .map(str::to_owned)
            .to_vec(),
        life: LIFE,
    }
}

fn at(days: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + days)
}

fn data(material: &Material) -> Data {
    material.data().collect()
}

fn written(plan: anyhow::Result<Plan>) -> Material {
    match plan.expect("a plan") {
        Plan::Write(material) => material,
        Plan::Show(_) => panic!("nothing is written"),
    }
}

fn first() -> Material {
    written(plan(&Data::new(), None, &order(), at(0)))
}

/// Whether readers that trust `authority` accept what `material` shows.
fn is_verified(material: &Material, authority: &Issued, now: DateTime<Utc>) -> bool {
    let mut roots = RootCertStore::empty();
    roots
        .add(der(&authority.certificate, AUTHORITY).expect("PEM"))
        .expect("an authority");
    let provider = Arc::new(super::super::provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .expect("a verifier");
    let now = Duration::from_secs(now.timestamp().unsigned_abs());
    let shown = der(&material.certificate.certificate, CERTIFICATE).expect("PEM");
    let name = ServerName::try_from("revisor.revisor.svc").expect("a name");
    verifier
        .verify_server_cert(&shown, &[], &name, &[], UnixTime::since_unix_epoch(now))
        .is_ok()
}

fn authority(material: &Material) -> &Issued {
    material.authority.as_ref().expect("an authority")
}

#[test]
fn the_first_replica_makes_what_the_others_show() {
    let made = first();
    assert!(is_verified(&made, authority(&made), at(0)));
    assert!(pair(&made).is_ok());
    let other = plan(&data(&made), None, &order(), at(1)).expect("a plan");
    assert_eq!(other, Plan::Show(made));
}

#[test]
fn it_is_renewed_at_two_thirds_of_its_life_and_readers_notice_nothing() {
    let old = first();
    let early = plan(&data(&old), Some(&old), &order(), at(59)).expect("a plan");
    assert!(matches!(early, Plan::Show(_)));
    let new = written(plan(&data(&old), Some(&old), &order(), at(61)));
    assert_ne!(new.certificate, old.certificate);
    assert_eq!(new.authority, old.authority);
    assert!(is_verified(&new, authority(&old), at(140)));
    assert!(!is_verified(&old, authority(&old), at(91)), "it has ended");
}

#[test]
fn the_authority_is_renewed_with_its_key_so_that_the_old_one_still_verifies() {
    let old = first();
    let later = at(90 * 27);
    let new = written(plan(&data(&old), Some(&old), &order(), later));
    assert_ne!(authority(&new).certificate, authority(&old).certificate);
    assert_eq!(authority(&new).key, authority(&old).key);
    for trusted in [&old, &new] {
        assert!(is_verified(&new, authority(trusted), later));
    }
}

#[test]
fn an_emptied_secret_is_filled_again_with_what_is_shown() {
    let held = first();
    let mut emptied = data(&held);
    for value in emptied.values_mut() {
        value.0.clear();
    }
    for data in [Data::new(), emptied] {
        let again = written(plan(&data, Some(&held), &order(), at(1)));
        assert_eq!(again, held);
    }
    let mut without = data(&held);
    without.retain(|key, _| key.starts_with("ca."));
    let again = written(plan(&without, Some(&held), &order(), at(1)));
    assert!(is_verified(&again, authority(&held), at(1)));
}

#[test]
fn other_names_make_another_certificate() {
    let old = first();
    let mut wider = order();
    wider.names.push("revisor.example".to_owned());
    let new = written(plan(&data(&old), Some(&old), &wider, at(1)));
    let narrow = plan(&data(&new), None, &order(), at(1)).expect("a plan");
    assert_eq!(narrow, Plan::Show(new), "more names than needed are good");
}

#[test]
fn a_certificate_of_somebody_else_is_shown_and_never_written() {
    let mut theirs = first();
    theirs.authority = None;
    for days in [0, 89, 1000] {
        let mut data = data(&theirs);
        data.insert(
            AUTHORITY.to_owned(),
            ByteString(b"their authority".to_vec()),
        );
        let shown = plan(&data, None, &order(), at(days)).expect("a plan");
        assert_eq!(shown, Plan::Show(theirs.clone()));
    }
}

#[test]
fn a_secret_that_cannot_be_used_is_named_by_key() {
    let good = data(&first());
    let with = |key: &str, value: Option<&[u8]>| {
        let mut data = good.clone();
        match value {
            Some(value) => data.insert(key.to_owned(), ByteString(value.to_vec())),
            None => data.remove(key),
        };
        let found = plan(&data, None, &order(), at(0));
        format!("{:#}", found.expect_err("an error"))
    };
    assert_eq!(
        with(CERTIFICATE_KEY, None),
        "tls.crt is there and tls.key is not"
    );
    assert_eq!(
        with(CERTIFICATE, None),
        "tls.key is there and tls.crt is not"
    );
    assert_eq!(with(CERTIFICATE, Some(&[0xff])), "tls.crt is no text");
    assert!(with(CERTIFICATE, Some(b"x")).starts_with("tls.crt"));
    assert!(with(AUTHORITY, Some(b"x")).starts_with("ca.crt"));
}
