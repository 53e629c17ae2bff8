//! Reads every change of the workloads of one kind, in order: LIST, then WATCH on raw events.
//!
//! In: a kind and a client. Out: [`Change`]s into a [`Sink`], one after the other, none merged and none skipped. A
//! sink that is slow makes the watch stop reading; the API server then ends it, and it resumes where it was.

mod discover;
mod edge;
mod stream;

pub use discover::{Discovery, resource};
pub use stream::Stream;

use crate::workload::{Change, ResourceVersion};

/// What takes the changes of one kind.
pub trait Sink: Send {
    /// A list begins: what it does not name by its end is gone.
    fn listing(&mut self);
    /// One change. Returns when there is room for the next.
    fn change(&mut self, change: Change) -> impl Future<Output = ()> + Send;
    /// The list is complete.
    fn listed(&mut self);
    /// Everything up to `at` was passed on.
    fn reached(&mut self, at: ResourceVersion);
}
