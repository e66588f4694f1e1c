//! The laws by name.

use std::fmt;

macro_rules! laws {
    ($($law:ident: $statement:literal;)*) => {
        /// What a store has to obey, cut so finely that a store with one defect breaks one law.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Law {
            $(#[doc = $statement] $law,)*
        }

        impl Law {
            /// All laws.
            pub const ALL: &[Self] = &[$(Self::$law,)*];

            /// The law in one sentence.
            #[must_use]
            pub fn statement(self) -> &'static str {
                match self {
                    $(Self::$law => $statement,)*
                }
            }
        }
    };
}

laws! {
    Serves: "An open store answers every call: it neither fails nor panics.";
    WellFormed: "A commit that is malformed or beyond the limits is refused as such, before anything else is judged.";
    RepetitionIsRecognised: "A repeated commit is answered with its original places and writes nothing, whatever else it asks for.";
    RepetitionIsExact: "Only a commit with the same ids, streams and content is taken for a repetition.";
    IdsAreUnique: "An event id stands in a store once: it is refused in any other commit, and ids that a store makes are new.";
    ExpectedVersions: "A write is accepted exactly if its stream is as expected.";
    Guards: "A commit is accepted only if every guarded stream was as required before it.";
    Conditions: "A commit is accepted only if no event before it is ruled out, and a conflict names the first that is.";
    OrderOfJudgement: "Writes, then guards, then conditions are judged in the order of the commit, then its time, and the first that fails is named.";
    RefusedLeavesNoTrace: "A commit that is not written leaves no trace and uses up no position.";
    Atomicity: "All events of an accepted commit are written, side by side and at once.";
    VisibleWhenAcknowledged: "An event is visible once it is acknowledged, and not before.";
    Content: "Every field of an event is read as it was written, in the order of the commit.";
    DensePositions: "Positions count up from 1 without a hole.";
    DenseVersions: "The versions of a stream count up from 1 without a hole.";
    CommitPlaces: "Each event tells its place in its commit, from 0, and the number of the commit's events.";
    RecordedAt: "A commit has one time of recording: the clock's in microseconds, or the previous commit's if that is later.";
    OwnTime: "A commit that brings its time of recording keeps it, in microseconds, and is refused if the previous commit's is later.";
    TrueAnswers: "An acceptance tells the positions, versions, ids and time that reads show.";
    HeadsAndVersions: "The head and the version of each stream are those of the last events.";
    LogOnlyGrows: "A read shows a prefix of the one log: never an event before an earlier one, and none that later changes or is missing.";
    Filters: "A read hands out the events that any clause of its filter matches in everything it names.";
    Ranges: "Ranges of positions, versions and times leave out their lower end and include their upper end.";
    ReadOrder: "Events are read by position, ascending or descending as asked for.";
    ReadLimit: "A read hands out as many events as its limit allows, over all its batches together.";
    ReadPaging: "The query for the rest goes on exactly where its batch ended.";
    ReadIsPinned: "A read leaves out what is recorded after its first batch.";
    BoundedBatches: "A batch does not grow with what there is to read.";
    Waiting: "A waiter returns with the durable head as soon as that is past the position, or else when its time is over.";
    Interrupting: "Whoever waits with an interrupt that is raised returns at once with the durable head, and nobody else does.";
    Identity: "A store has an id that no other store has, and keeps it.";
    Closing: "After closing, every call, also one that waits, answers that the store is closed.";
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
