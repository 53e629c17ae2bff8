//! The real binary against a real etcd and kube-apiserver. Each test has a namespace, or a cluster, of its own; what
//! was recorded is compared with what etcd itself says (see `oracle`).

#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks measure real time"
)]

mod believed;
mod continuity;
mod crd;
mod definitions;
mod demo;
mod faults;
mod hostile;
mod input;
mod installed;
mod kinds;
mod long;
mod memory;
mod observe;
mod oracle;
mod plugin;
mod quiet;
mod record;
mod restart;
mod serve;
mod settled;
mod storms;
mod support;
mod traffic;
mod way_back;
