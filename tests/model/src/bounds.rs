//! The bounds within which everything is tried.

use std::fmt;

/// How much of everything can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Writes of workloads.
    pub writes: u8,
    /// Objects; object 0 is there from the beginning.
    pub objects: u8,
    /// Places from one write to the next.
    pub stride: u8,
    /// Replicas.
    pub replicas: u8,
    /// Kills.
    pub kills: u8,
    /// Compactions, each to any place.
    pub compactions: u8,
    /// Times that the checkpoint is deleted.
    pub losses: u8,
    /// Restarts of the API server: a watch from an older place than the present one is refused.
    pub restarts: u8,
    /// Lists that are answered from a place that is older than one that the replica has seen.
    pub stale: u8,
    /// Lists that are answered from an older place than the present one, which is news to the replica all the same.
    pub lagging: u8,
    /// Events that a watch passes over.
    pub lost: u8,
    /// Replays that end although there is more.
    pub cuts: u8,
    /// Comparisons of the watch with a list.
    pub audits: u8,
    /// Reads of the present between two watches.
    pub checks: u8,
    /// Seconds from one write to the next. A place is taken to be a minute older than the list that showed it, so with
    /// fewer than sixty the times of the smallest bounds tell nothing.
    pub seconds: u16,
    /// Whether nothing was recorded before.
    pub first_start: bool,
    /// Whether something can happen between a sample and the reads of what it has shown.
    pub samples_split: bool,
    /// Whether the end of a workload has to be stored although no audit has looked for it.
    pub ends_at_once: bool,
}

impl Bounds {
    /// One replica, and nothing goes wrong.
    pub const CALM: Self = Self {
        writes: 2,
        objects: 2,
        stride: 1,
        replicas: 1,
        kills: 0,
        compactions: 0,
        losses: 0,
        restarts: 0,
        stale: 0,
        lagging: 0,
        lost: 0,
        cuts: 0,
        audits: 0,
        checks: 0,
        seconds: 100,
        first_start: false,
        samples_split: false,
        ends_at_once: false,
    };
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            writes,
            objects,
            stride,
            replicas,
            kills,
            compactions,
            losses,
            restarts,
            stale,
            lagging,
            lost,
            cuts,
            audits,
            checks,
            seconds,
            first_start,
            samples_split,
            ends_at_once,
        } = self;
        write!(
            f,
            "{writes} writes {stride} places and {seconds} s apart of {objects} objects, {replicas} replicas"
        )?;
        let faults = [
            (kills, "kills"),
            (compactions, "compactions"),
            (losses, "lost checkpoints"),
            (restarts, "restarts of the API server"),
            (stale, "stale lists"),
            (lagging, "lagging lists"),
            (lost, "lost events"),
            (cuts, "replays cut"),
            (audits, "audits"),
            (checks, "checks"),
        ];
        for (count, what) in faults.iter().filter(|(count, _)| **count > 0) {
            write!(f, ", {count} {what}")?;
        }
        let ways = [
            (first_start, "first start"),
            (samples_split, "samples split"),
            (ends_at_once, "ends at once"),
        ];
        for (_, what) in ways.iter().filter(|(is_so, _)| **is_so) {
            write!(f, ", {what}")?;
        }
        Ok(())
    }
}
