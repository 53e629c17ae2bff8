//! Defects that can be switched on, one at a time, to show that the simulator finds them.
//!
//! Only with the feature `mutants`, which no build of the product has, can one be switched on. Without it [`is`] is
//! always false, and nothing of this is left in the binary.

/// A defect of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mutant {
    /// A write counts as settled when it is handed in.
    SettledBeforeStored = 1,
    /// The checkpoint passes writes that are on their way.
    CheckpointAhead,
    /// The checkpoint is dated by a later place when it knows no older one.
    CheckpointTooYoung,
    /// Generations that were not seen count as if they had changed nothing.
    HoleTakenForQuiet,
    /// A Revision that exists counts as equal, whatever it holds.
    ConflictTakenForEqual,
    /// A Gap begins with the last known generation.
    GapOverKnown,
    /// A list whose continue token has expired counts as complete.
    ExpiredTokenIgnored,
    /// An older observed generation is written over a newer one.
    ObservedBackwards,
    /// The checkpoint does not wait for observed generations.
    ObservedNotAwaited,
    /// A list that is older than what was seen is believed.
    StaleListBelieved,
    /// A workload whose creation the watch has lost begins where it is seen first.
    LostCreationIgnored,
    /// The audit ignores a last generation that the watch has lost.
    LostLastIgnored,
    /// Events with different notes are one series.
    EventsJoined,
    /// An end that is compacted is stored as one that was seen.
    EndTakenForSeen,
    /// The state of a workload that was found is its last, whatever is compacted after it.
    FoundTakenForLast,
    /// A state that is compacted where a list showed it is not looked for at later places.
    PassedTakenForLost,
    /// A Revision that a policy denies counts as settled.
    DenialDropped,
    /// A start without a checkpoint begins with the present.
    NoBeginning,
    /// A restart forgets the generations that are exceptions of the checkpoint.
    ExceptionsForgotten,
    /// A later Revision passes a refused one before the stored checkpoint names that.
    PassedUnwritten,
    /// An exception of an earlier process is dropped before the first list is joined.
    ExceptionsDropped,
    /// A postponed workload that is read back is looked for only up to its last write.
    PostponedEndAtLastWrite,
    /// A generation that an earlier process left waiting is recorded without a comparison with the one before.
    ExceptionsUncompared,
    /// An exception of an earlier process is one no more when it is handed in again.
    ExceptionsPending,
    /// A workload that waits for room counts as created where the watch has shown it first.
    PostponedFromFirstShown,
    /// A head that was removed is recorded again as it is in memory.
    HeadFromMemory,
    /// A head that was removed counts as stored.
    RemovedHeadBelieved,
    /// Generations of which a Revision claims that they changed nothing are not read, although they can be.
    QuietClaimBelieved,
    /// A Revision is a head although its workload has not had its generation.
    ForgedHeadBelieved,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::SettledBeforeStored,
        Self::CheckpointAhead,
        Self::CheckpointTooYoung,
        Self::HoleTakenForQuiet,
        Self::ConflictTakenForEqual,
        Self::GapOverKnown,
        Self::ExpiredTokenIgnored,
        Self::ObservedBackwards,
        Self::ObservedNotAwaited,
        Self::StaleListBelieved,
        Self::LostCreationIgnored,
        Self::LostLastIgnored,
        Self::EventsJoined,
        Self::EndTakenForSeen,
        Self::FoundTakenForLast,
        Self::PassedTakenForLost,
        Self::DenialDropped,
        Self::NoBeginning,
        Self::ExceptionsForgotten,
        Self::PassedUnwritten,
        Self::ExceptionsDropped,
        Self::PostponedEndAtLastWrite,
        Self::ExceptionsUncompared,
        Self::ExceptionsPending,
        Self::PostponedFromFirstShown,
        Self::HeadFromMemory,
        Self::RemovedHeadBelieved,
        Self::QuietClaimBelieved,
        Self::ForgedHeadBelieved,
    ];
}

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::sync::atomic::{AtomicU8, Ordering};

    static ON: AtomicU8 = AtomicU8::new(0);

    /// Switches a defect on, and any other off.
    pub fn set(mutant: Option<Mutant>) {
        ON.store(mutant.map_or(0, |mutant| mutant as u8), Ordering::Relaxed);
    }

    /// Whether a defect is switched on.
    pub fn is(mutant: Mutant) -> bool {
        ON.load(Ordering::Relaxed) == mutant as u8
    }
}

#[cfg(feature = "mutants")]
pub use switch::{is, set};

/// Whether a defect is switched on: never.
#[cfg(not(feature = "mutants"))]
pub const fn is(_: Mutant) -> bool {
    false
}
