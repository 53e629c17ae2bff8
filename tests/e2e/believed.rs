//! What is stored is compared with what is believed: work of another replica, and Revisions that are removed, cost
//! neither a generation nor a false Gap.

pub mod cut_off;
mod definition;
pub mod hedged;
mod idle;
mod namespaces;
mod removed;
mod restored;
mod stage;
