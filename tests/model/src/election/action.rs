//! The events of the replicas and their requests.

use std::fmt;

/// The number of a replica.
pub type Who = usize;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A second passes; replicas whose time it is ask for the Lease.
    Second,
    /// A replica starts, and asks for the Lease.
    Start(Who),
    /// A replica that waits looks at the Lease: the lot decides when.
    Look(Who),
    /// A request is carried out, and its answer arrives; the number is its place among those on their way.
    Serve(usize),
    /// A request becomes a slow one.
    Delay(usize),
    /// A slow request is carried out.
    CarryOut(usize),
    /// The answer to a slow request arrives.
    Answer(Who),
    /// The connection of a slow request breaks.
    Break(Who),
    /// A replica does not wait any longer for an answer.
    GiveUp(Who),
    /// A replica is killed.
    Kill(Who),
    /// A replica ends in order.
    Stop(Who),
    /// A replica is not run for a while.
    Pause(Who),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Second => f.write_str("a second passes"),
            Self::Start(who) => write!(f, "replica {who} starts"),
            Self::Look(who) => write!(f, "replica {who} looks"),
            Self::Serve(at) => write!(f, "request {at} is carried out and answered"),
            Self::Delay(at) => write!(f, "request {at} becomes slow"),
            Self::CarryOut(at) => write!(f, "slow request {at} is carried out"),
            Self::Answer(who) => write!(f, "the answer to replica {who} arrives"),
            Self::Break(who) => write!(f, "the connection of replica {who} breaks"),
            Self::GiveUp(who) => write!(f, "replica {who} does not wait any longer"),
            Self::Kill(who) => write!(f, "replica {who} is killed"),
            Self::Stop(who) => write!(f, "replica {who} ends in order"),
            Self::Pause(who) => write!(f, "replica {who} is not run for a while"),
        }
    }
}
