//! A replica: the plain values of the product, and the facts that pass between them.
//!
//! `Outlet` and `KindRecorder` hand facts from one of these values to the next; their few lines are repeated here
//! without content, and every generation is a change.

use crate::past::{Piece, Reading};
use crate::server::{Object, Server, number, object, place, uid};
use crate::shown::{How, Shown};
use crate::store::{Record, Store};
use revisor::history::subtract;
use revisor::record::ledger::Book;
use revisor::watch::checkpoint::CheckpointEntry;
use revisor::watch::join::{Join, Until};
use revisor::watch::known::{Known, Need, Sight};
use revisor::watch::{Dates, Lost, Position, Reason, Recorded, STALENESS};
use revisor::workload::{ResourceVersion, Version};
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use tokio::time::Instant;

/// How long a write is on its way decides about nothing here.
static SOME_TIME: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One write on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// Its workload.
    pub object: Object,
    /// The content of the write.
    pub record: Record,
    /// Where its change was seen.
    pub at: ResourceVersion,
    /// The place from which on it holds the checkpoint back.
    pub pending: ResourceVersion,
}

/// Something that a replica reads before it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Events of a watch, until that is reached.
    Replay(Replay),
    /// The history of one object.
    History(Reading),
    /// The last state of an object, at or after a place, that is gone.
    End(Ending),
    /// Everything that was there at a place.
    Sample(ResourceVersion),
}

/// A watch that has to come to an end by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replay {
    /// Up to where it goes.
    pub until: Until,
    /// Whether the API server has not refused it.
    pub is_open: bool,
}

/// An object that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ending {
    /// The object.
    pub object: Object,
    /// From where its history is read.
    pub from: Version,
    /// Where it was there.
    pub there: ResourceVersion,
    /// Where it was gone.
    pub by: ResourceVersion,
    /// The workload, when it is a recorded one.
    pub recorded: Option<Recorded>,
}

/// A list that is joined to the past.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Joining {
    /// The join itself.
    pub join: Join,
    /// Whether the list was made for comparison.
    pub is_audit: bool,
    /// The place of the list.
    pub listed: ResourceVersion,
}

/// The progress of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It does not run.
    Down,
    /// It has no place to go on from, and looks for the beginning.
    Beginning,
    /// It needs a list.
    Listing,
    /// It joins a list, or watches.
    Following,
}

/// A replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact that the product's `Stream` keeps"
)]
pub struct Replica {
    /// Its progress.
    pub phase: Phase,
    /// The join under way.
    pub joining: Option<Joining>,
    /// The reads that are due, in their order.
    pub tasks: VecDeque<Task>,
    /// From where its watch goes on.
    pub at: ResourceVersion,
    /// The last known state of every object.
    pub known: Known,
    /// Its position.
    pub dates: Dates,
    /// The writes that are on their way.
    pub book: Book,
    /// The writes that are on their way.
    pub queue: Vec<Item>,
    /// Whether it had no place to go on from, and has not joined a list since.
    pub is_beginning: bool,
    /// Whether workloads were recorded before recording began anew.
    pub was_recorded: bool,
    /// The newest list.
    pub newest_list: Option<Position>,
    /// The place after which the watch has shown everything.
    pub origin: Option<Position>,
    /// Whether this process has followed the kind before.
    pub resumed: bool,
    /// Whether the watch may go on from the position.
    pub resumable: bool,
    /// The place of the newest list that was compared with what was seen, when nothing was missing at the end.
    pub audited: ResourceVersion,
}

impl Replica {
    /// A replica that does not run.
    pub fn down() -> Self {
        Self {
            phase: Phase::Down,
            joining: None,
            tasks: VecDeque::new(),
            at: ResourceVersion::default(),
            known: Known::default(),
            dates: Dates::default(),
            book: Book::default(),
            queue: Vec::new(),
            is_beginning: false,
            was_recorded: false,
            newest_list: None,
            origin: None,
            resumed: false,
            resumable: true,
            audited: ResourceVersion::default(),
        }
    }

    /// A process starts, and reads the checkpoint.
    pub fn start(store: &Store) -> Self {
        let mut replica = Self {
            phase: Self::first_phase(store.position()),
            is_beginning: store.checkpoint.is_none(),
            dates: Dates::new(store.position()),
            ..Self::down()
        };
        if let Some(entry) = &store.checkpoint {
            replica.book.take_over(entry, *SOME_TIME);
        }
        replica
    }

    /// Up to where every change was passed on.
    pub fn since(&self) -> Option<ResourceVersion> {
        self.dates.since().map(|since| since.at)
    }

    /// The newest place that this or an earlier process has seen.
    pub fn seen(&self) -> ResourceVersion {
        let known = self.known.newest();
        self.since().map_or(known, |since| since.max(known))
    }

    /// Whether it watches, and reads nothing else.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Following && self.joining.is_none() && self.tasks.is_empty()
    }

    /// Whether it reads the events of a replay.
    pub fn is_replaying(&self) -> bool {
        matches!(self.tasks.front(), Some(Task::Replay(replay)) if replay.is_open)
    }

    /// Every change up to that place was passed on.
    pub fn moved(&mut self, at: ResourceVersion) {
        self.at = at;
        let position = self.dates.moved(at);
        self.book.reached(position);
    }

    /// The reads that a state needs before it is passed on.
    pub fn need(&self, shown: Shown, server: &Server) -> Need {
        self.known.need(&shown.change(server), || true)
    }

    /// Passes on one state.
    pub fn pass(&mut self, shown: Shown, server: &Server) {
        let change = shown.change(server);
        let is_new = match self.known.sight(&change) {
            Sight::Ended => return,
            Sight::New => {
                self.known.select(&change);
                true
            }
            sight => {
                self.known.see_again(&change, sight);
                false
            }
        };
        let is_recorded = !self.known.is_gone(change.uid);
        self.known.end_with(&change);
        if is_new {
            self.push(shown.object, Record::Revision(shown.generation), shown.at);
        }
        let is_end = matches!(shown.how, How::Deleted | How::ReadLast);
        if is_recorded && is_end {
            self.push(shown.object, Record::Deleted, shown.at);
        }
    }

    /// A workload is gone, and its last state with it.
    pub fn gone(&mut self, recorded: &Recorded, store: &mut Store) {
        let Version { generation, at } = recorded.version;
        let object = object(recorded.uid);
        if self.known.is_gone(recorded.uid) {
            // Nothing of it was ever recorded: it was there where recording begins.
            return;
        }
        self.known.end(recorded.uid, at, false);
        store.ends.insert((object, generation));
        self.push(object, Record::Deleted, at);
    }

    /// Between these places objects may have come and gone.
    pub fn blind(&mut self, from: ResourceVersion, to: ResourceVersion, store: &mut Store) {
        // Up to where everything was recorded before is not known without a checkpoint.
        let from = if self.is_beginning {
            ResourceVersion::FIRST
        } else {
            from
        };
        self.book.blind(from, to);
        store.blind.insert((number(from), number(to)));
    }

    /// Passes on the history of an object, and the state that comes after it.
    pub fn tell(&mut self, reading: &Reading, server: &Server, store: &Store) {
        for piece in reading.pieces() {
            match piece {
                Piece::State(shown) => self.pass(shown, server),
                Piece::Hole(hole, at) => self.lost(reading, hole, at, store),
            }
        }
        if let Some(then) = reading.then {
            self.pass(then, server);
            if then.is_event() {
                self.moved(then.at);
            }
        }
    }

    fn lost(
        &mut self,
        reading: &Reading,
        hole: RangeInclusive<i64>,
        at: ResourceVersion,
        store: &Store,
    ) {
        let behind = &reading.behind;
        let first = behind.first_of_ours(self.origin.map(|origin| origin.time));
        if *hole.end() < first {
            return;
        }
        let lost = self.known.lose(Lost {
            uid: behind.of.uid,
            namespace: String::new(),
            name: String::new(),
            generations: first.max(*hole.start())..=*hole.end(),
            reason: Reason::Compacted,
            from: behind.from.at.after(1).min(at),
            at,
            api_version: String::new(),
        });
        let Some(lost) = lost else {
            return;
        };
        let object = object(lost.uid);
        let recorded = store.recorded(object, &lost.generations);
        let first = behind.from.at.after(1);
        let pending = first.min(lost.at);
        for generations in subtract(lost.generations, &recorded) {
            self.hand_in(Item {
                object,
                record: Record::Gap(generations),
                at: lost.at,
                pending,
            });
        }
    }

    fn push(&mut self, object: Object, record: Record, at: ResourceVersion) {
        self.hand_in(Item {
            object,
            record,
            at,
            pending: at,
        });
    }

    fn hand_in(&mut self, item: Item) {
        self.book.pending(item.pending, *SOME_TIME);
        self.queue.push(item);
    }

    /// Writes the first write of a workload.
    pub fn store(&mut self, object: Object, store: &mut Store) {
        let first = self.queue.iter().position(|item| item.object == object);
        let Some(first) = first else {
            return;
        };
        let item = self.queue.remove(first);
        store.take(item.object, &item.record, item.at);
        self.book.done(item.pending);
    }

    /// The checkpoint that it would write; none when it has come nowhere.
    pub fn checkpoint(&self) -> Option<CheckpointEntry> {
        let ack = self.book.ack();
        let blind = self.book.blind_intervals().to_vec();
        let has_come = ack.through != ResourceVersion::default();
        has_come.then(|| CheckpointEntry::new(ack, blind, self.book.exceptions()))
    }

    /// Whether a state is known already, or is of no interest.
    pub fn knows(&self, shown: Shown) -> bool {
        self.known.knows(uid(shown.object), shown.generation)
    }

    /// A read of the present showed that place.
    pub fn measured(&mut self, at: u64, server: &Server) {
        let asked = server.time(server.now()) - STALENESS;
        self.dates.measured(place(at), asked);
    }
}
