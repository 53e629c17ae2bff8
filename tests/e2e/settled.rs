//! Nothing counts as recorded without a stored object: policies, webhooks and quotas that refuse
//! Revisions, a checkpoint that is lost and a process that ends in its first seconds cost no
//! generation, and hold no other namespace.

mod arrivals;
pub mod beginning;
mod change_cause;
mod checkpoint;
mod definition;
mod denial;
mod denials;
pub mod first_release;
mod history;
mod holds;
mod hook;
mod https;
pub mod proxy;
pub mod quotas;
mod shapes;
mod stage;
mod unreadable;
pub mod webhooks;

pub use history::History;
pub use quotas::{lift, limit};
pub use stage::{AFTER_A_START, events, until};
