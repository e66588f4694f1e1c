//! Faults that are to be found, and which of them is switched on.

use std::cell::Cell;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    // In the turns of those who write:
    TakesAnyAnswer,
    LeadsBesideAnother,
    LooksAwayBeforeItWaits,
    TurnsTheOrderAround,
    FreesTheTurnTooEarly,
    ExcludesNobody,
    PanicsWithTheTurn,
    LeavesTasksOfAPanicUnanswered,
    ForgetsToNotify,
    PassesTheTurnToNobody,
    // In what they publish:
    NotifiesBeforeItPublishes,
    PublishesInSilence,
    ForgetsTheFirstReason,
    ClosesInSilence,
    NotifiesBeforeItInterrupts,
    InterruptsInSilence,
    WakesForTheAcknowledged,
    LooksAwayBeforeItSleeps,
    // In how both are used:
    AnswersBeforeItPublishes,
    PublishesBeforeItSyncs,
    SyncsOutsideItsTurn,
    WritesInSpiteOfThePoison,
    // In how a subscription goes on:
    TakesALaterHead,
    TakesTheAcknowledged,
    WaitsForOneMore,
    WaitsForGood,
    ForgetsTheRest,
    MovesOnBeforeItIsDone,
}

thread_local! {
    static ON: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Whether this is the fault that is switched on. The checker runs all threads of a schedule on one.
pub(crate) fn is_on(fault: Fault) -> bool {
    ON.get() == Some(fault)
}

/// Switches a fault on, in what the calling thread checks from now on.
pub(crate) fn switch_on(fault: Fault) {
    ON.set(Some(fault));
}
