//! The protocol of recording, model-checked: every order of what can happen is tried, within bounds.
//!
//! In: [`Bounds`]. Out: a [`Report`], with a way to each rule that is broken. The transitions are the product's own
//! plain values (`Known`, `Join`, `Walk`, `Dates`, `Book`, `CheckpointEntry`); [`protocol`] repeats only the order in
//! which the product's asynchronous code asks them, and [`replica`] the facts that pass between them. Time is that of
//! the history: so many seconds pass from one write to the next as the bounds say.
//!
//! Not here, since other tests have it: content (every generation is a change, and every object is selected), what
//! cannot be read, failures that only delay something, lists of several pages, a cache that is behind the stored
//! Revisions, Events that are lost with the process, a restored etcd, a past that cannot be read at all, a namespace
//! without room, and exceptions of the checkpoint. Coarser than the product: the search for the last state of an object,
//! and that for the beginning, is one read, several objects are read back one after the other, and a Revision arrives in
//! the same moment as the answer to its POST.
//!
//! Two smaller models stand beside it: [`election`] of who leads, and [`lanes`] of the order of writes. [`explore`]
//! takes them through every state.

// `election` and `lanes` compile files of the product here, whose unit tests run there. One of these files names types of
// `k8s-openapi`, for which stand-ins are enough.
#[cfg(not(test))]
extern crate self as k8s_openapi;
#[cfg(not(test))]
use election::k8s::{api, apimachinery, jiff};

pub mod beginning;
pub mod bounds;
pub mod check;
#[cfg(not(test))]
pub mod election;
pub mod explore;
#[cfg(not(test))]
pub mod lanes;
pub mod past;
pub mod protocol;
pub mod replica;
pub mod rules;
pub mod server;
pub mod shown;
pub mod store;
pub mod world;

pub use bounds::Bounds;
pub use check::{Report, check};
