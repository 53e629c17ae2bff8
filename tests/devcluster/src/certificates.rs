//! The keys and certificates of one cluster, as files. They are made anew for every cluster.

use crate::{Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of keys and certificates.
#[derive(Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
}

/// Users that get a client certificate: file, common name, group.
const CLIENTS: [(&str, &str, &str); 4] = [
    ("admin", "devcluster-admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("kwok", "devcluster-kwok", "system:masters"),
];

impl Certificates {
    /// Makes everything in `folder`.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let this = Self {
            folder: folder.to_owned(),
        };
        let authority = this.authority("ca")?;
        this.authority("front-proxy-ca")?;
        let names = [
            "localhost",
            "127.0.0.1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "10.0.0.1",
        ];
        let names: Vec<_> = names.map(str::to_owned).to_vec();
        this.leaf(
            "apiserver",
            names,
            "kube-apiserver",
            "",
            ExtendedKeyUsagePurpose::ServerAuth,
            &authority,
        )?;
        for (file, name, group) in CLIENTS {
            this.leaf(
                file,
                Vec::new(),
                name,
                group,
                ExtendedKeyUsagePurpose::ClientAuth,
                &authority,
            )?;
        }
        let service_accounts = KeyPair::generate()?;
        this.write("service-accounts.key", &service_accounts.serialize_pem())?;
        this.write("service-accounts.crt", &service_accounts.public_key_pem())?;
        Ok(this)
    }

    /// The certificate of `name`; of the service accounts' key just its public half.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    /// The key of `name`.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    fn authority(&self, name: &str) -> Result<Issuer<'static, KeyPair>> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = subject(name, "");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        self.write(&format!("{name}.crt"), &params.self_signed(&key)?.pem())?;
        Ok(Issuer::new(params, key))
    }

    fn leaf(
        &self,
        file: &str,
        names: Vec<String>,
        name: &str,
        group: &str,
        usage: ExtendedKeyUsagePurpose,
        authority: &Issuer<'static, KeyPair>,
    ) -> Result<()> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = subject(name, group);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        self.write(
            &format!("{file}.crt"),
            &params.signed_by(&key, authority)?.pem(),
        )?;
        self.write(&format!("{file}.key"), &key.serialize_pem())
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text).map_err(Error::io(format!("write {}", path.display())))
    }
}

fn subject(name: &str, group: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if !group.is_empty() {
        subject.push(DnType::OrganizationName, group);
    }
    subject
}
