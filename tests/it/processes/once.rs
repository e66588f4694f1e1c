//! What has been done is not done again.

use annals::process::ProcessManager;
use annals::testing::ManualClock;
use annals::{Annals, Metadata, Position};
use chrono::TimeDelta;

use super::errands::{Bell, Errand, Ring, Shop, errands, faults};

struct Setting {
    annals: Annals,
    clock: ManualClock,
}

impl Setting {
    fn new() -> Self {
        let clock = ManualClock::at("2024-05-06T09:00:00Z".parse().unwrap());
        Self { annals: Annals::builder().clock(clock.clone()).in_memory(), clock }
    }

    fn open(&self) -> ProcessManager<Errand> {
        errands(&self.annals).unwrap().open().unwrap()
    }

    fn ring(&self, ring: Ring) {
        self.annals.of::<Bell>().unwrap().execute("front", ring).unwrap();
    }

    fn head(&self) -> Position {
        self.annals.store().head().unwrap().acknowledged
    }

    fn is_right(&self) {
        use annals::Clock;
        let faults = faults(&self.annals, self.clock.now());
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

#[test]
fn a_manager_that_is_opened_again_does_nothing_again() {
    let setting = Setting::new();
    let manager = setting.open();
    let by = Some("2024-05-07T09:00:00Z".parse().unwrap());
    for errand in 0..20 {
        setting.ring(Ring::Rang { errand, asks: 3, by });
    }
    manager.run_until_settled().unwrap();
    drop(manager);
    let head = setting.head();
    for _ in 0..3 {
        setting.open().run_until_settled().unwrap();
        assert_eq!(setting.head(), head, "not even a note is taken");
    }
    setting.clock.advance(TimeDelta::days(2));
    setting.open().run_until_settled().unwrap();
    setting.is_right();
}

/// A second manager, under a name that has done nothing yet, does everything; and the first one's keys are not its.
#[test]
fn another_manager_does_its_own() {
    let setting = Setting::new();
    setting.ring(Ring::Rang { errand: 1, asks: 1, by: None });
    setting.open().run_until_settled().unwrap();
    setting.is_right();
    let shops = setting.annals.of::<Shop>().unwrap();
    let errand = setting.annals.of::<Errand>().unwrap();
    let other = errand
        .process("others")
        .send(&shops, |e| {
            let sale = super::errands::Sale::Sold { errand: *e.id(), number: 5 };
            e.event_type().starts_with("Asked").then_some((2, sale))
        })
        .open()
        .unwrap();
    other.run_until_settled().unwrap();
    assert_eq!(shops.load(&2).unwrap().version().get(), 1);
    assert_eq!(shops.load(&1).unwrap().version().get(), 1);
}

#[test]
fn causes_and_correlation_are_carried_along() {
    let setting = Setting::new();
    let bells = setting.annals.of::<Bell>().unwrap();
    let ring = Ring::Rang { errand: 1, asks: 1, by: None };
    let metadata = Metadata::new().with_actor("ann");
    let done = bells.to("front").with(metadata).execute(ring).unwrap();
    setting.open().run_until_settled().unwrap();
    let story = setting.annals.story(done.correlation().unwrap()).unwrap();
    let told: Vec<_> =
        story.events().map(|(depth, event)| (depth, event.event_type().to_owned())).collect();
    let told: Vec<_> = told.iter().map(|(depth, name)| (*depth, name.as_str())).collect();
    assert_eq!(told, [(0, "Rang"), (1, "Begun"), (1, "Asked"), (2, "Sold")]);
}

/// What a deadline brings about belongs to the story of the instance.
#[test]
fn a_deadline_has_a_cause() {
    let setting = Setting::new();
    let by = Some("2024-05-07T09:00:00Z".parse().unwrap());
    let bells = setting.annals.of::<Bell>().unwrap();
    let done = bells.execute("front", Ring::Rang { errand: 2, asks: 0, by }).unwrap();
    let manager = setting.open();
    manager.run_until_settled().unwrap();
    setting.clock.advance(TimeDelta::days(1));
    manager.run_until_settled().unwrap();
    let story = setting.annals.story(done.correlation().unwrap()).unwrap().to_string();
    let names: Vec<_> =
        story.lines().map(|line| line.split("  ").find(|part| !part.is_empty()).unwrap()).collect();
    assert_eq!(names, ["Rang", "Begun", "Missed", "Asked", "Sold"], "{story}");
}

#[test]
fn a_manager_begins_where_it_is_told_to() {
    let setting = Setting::new();
    setting.ring(Ring::Rang { errand: 1, asks: 1, by: None });
    let begin = setting.head();
    setting.ring(Ring::Rang { errand: 2, asks: 1, by: None });
    let open = || errands(&setting.annals).unwrap().begin_after(begin).open().unwrap();
    open().run_until_settled().unwrap();
    let errands = setting.annals.of::<Errand>().unwrap();
    assert!(!errands.exists(&1).unwrap());
    assert!(errands.exists(&2).unwrap());
    // It has been at work by now: where to begin is of no account any more.
    let manager = super::errands::errands(&setting.annals).unwrap().open().unwrap();
    manager.run_until_settled().unwrap();
    assert!(!errands.exists(&1).unwrap());
}

/// So many notes that snapshots of what they come to are taken.
#[test]
fn what_a_manager_knows_survives_thousands_of_notes() {
    let setting = Setting::new();
    let manager = setting.open();
    let by = Some("2024-06-06T09:00:00Z".parse().unwrap());
    for errand in 0..700 {
        setting.ring(Ring::Rang { errand, asks: 1, by: by.filter(|_| errand % 2 == 0) });
        manager.run_until_settled().unwrap();
    }
    assert!(setting.annals.store().version(manager.notes()).unwrap().get() > 1_000);
    drop(manager);
    let manager = setting.open();
    assert_eq!(manager.status().deadlines, 350);
    let head = setting.head();
    manager.run_until_settled().unwrap();
    assert_eq!(setting.head(), head);
    setting.clock.advance(TimeDelta::days(60));
    manager.run_until_settled().unwrap();
    assert_eq!(manager.status().deadlines, 0);
    setting.is_right();
}
