//! The test kit for processes, and with it what a process does in the ordinary run of things.

use annals::testing::ProcessScenario;
use annals::{Annals, Error};
use chrono::{DateTime, TimeDelta, Utc};

use super::errands::{Bell, CONSOLATION, Errand, Ring, Sale, Shop, Step, errands};

fn rang(errand: u64, asks: u64, by: Option<DateTime<Utc>>) -> Ring {
    Ring::Rang { errand, asks, by }
}

fn third_of_january() -> DateTime<Utc> {
    "2000-01-03T00:00:00Z".parse().unwrap()
}

#[test]
fn what_an_instance_asks_for_is_sent() {
    ProcessScenario::of(&1, errands)
        .when::<Bell>("front", rang(1, 2, None))
        .then([Step::Begun { by: None }, Step::Asked { number: 0 }, Step::Asked { number: 1 }])
        .then_happened::<Shop>(
            &1,
            [Sale::Sold { errand: 1, number: 0 }, Sale::Sold { errand: 1, number: 1 }],
        )
        .then_happened::<Shop>(&2, []);
}

#[test]
fn an_instance_is_told_of_a_refusal() {
    ProcessScenario::of(&3, errands)
        .when::<Bell>("front", rang(3, 1, None))
        .then([Step::Begun { by: None }, Step::Asked { number: 0 }, Step::Refused { number: 0 }])
        .then_happened::<Shop>(&0, []);
}

#[test]
fn three_days_pass_in_no_time() {
    let by = third_of_january();
    ProcessScenario::of(&2, errands)
        .given::<Bell>("front", [rang(2, 0, Some(by))])
        .after(TimeDelta::hours(47))
        .then([])
        .after(TimeDelta::hours(1))
        .then([Step::Missed, Step::Asked { number: CONSOLATION }])
        .then_happened::<Shop>(&2, [Sale::Sold { errand: 2, number: CONSOLATION }])
        .after(TimeDelta::days(1_000))
        .then([]);
}

#[test]
fn who_answers_in_time_does_not_miss() {
    let by = third_of_january();
    ProcessScenario::of(&2, errands)
        .given::<Bell>("front", [rang(2, 0, Some(by))])
        .after(TimeDelta::days(1))
        .when::<Bell>("front", Ring::Answered { errand: 2 })
        .then([Step::Answered])
        .after(TimeDelta::days(1_000))
        .then([]);
}

#[test]
#[should_panic(expected = "other events than expected")]
fn a_scenario_notices_what_is_missing() {
    ProcessScenario::of(&1, errands)
        .when::<Bell>("front", rang(1, 0, None))
        .then([Step::Begun { by: None }, Step::Asked { number: 0 }]);
}

#[test]
#[should_panic(expected = "stuck: [\"thing 0 is not sold here\"]")]
fn a_scenario_says_why_an_instance_is_stuck() {
    let deaf = |annals: &Annals| Ok::<_, Error>(errands(annals)?.on_refusal(|_, _| None));
    ProcessScenario::of(&3, deaf)
        .when::<Bell>("front", rang(3, 1, None))
        .then_stuck("not sold here")
        .then([]);
}

#[test]
fn deadlines_are_met_in_their_order() {
    let by = third_of_january();
    let later = by + TimeDelta::days(1);
    let scenario = ProcessScenario::of(&2, errands)
        .given::<Bell>("front", [rang(2, 0, Some(later)), rang(5, 0, Some(by))])
        .after(TimeDelta::days(10))
        .then_happened::<Errand>(&5, [Step::Missed, Step::Asked { number: CONSOLATION }])
        .then([Step::Missed, Step::Asked { number: CONSOLATION }]);
    assert_eq!(scenario.manager().next_due(), None);
}
