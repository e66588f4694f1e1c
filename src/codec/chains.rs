//! Upcasters that were checked to be sound, ready to be applied.

use std::collections::{BTreeMap, BTreeSet};

use super::shape::{Name, Shape};
use super::upcasters::{Failure, Rule, Target, Upcasted, Upcasters};
use crate::error::{Error, ErrorKind};
use crate::id::EventType;
use crate::payload::Encoding;
use crate::position::SchemaVersion;

/// For each stored type that has a history, its rules: the rule at index `n` reads version `n + 1`.
pub(super) struct Chains {
    rules: BTreeMap<String, Vec<Rule>>,
    /// For each stored type that has a history, the types of today that some version of it can become.
    ends: BTreeMap<String, BTreeSet<String>>,
}

/// More rules than any history has; it bounds how deep they can lead.
const RULES_MAX: usize = 1_000;

/// An event on its way to a shape that the aggregate reads.
pub(super) struct Current {
    pub(super) event_type: String,
    pub(super) encoding: Encoding,
    pub(super) payload: Vec<u8>,
}

impl Chains {
    /// Checks that every version has one rule, and that every rule leads to something that `shape` reads.
    pub(super) fn new(upcasters: Upcasters, shape: &Shape) -> Result<Self, Error> {
        let mut chains = Self { rules: BTreeMap::new(), ends: BTreeMap::new() };
        let (mut renames, mut steps) = (Vec::new(), Vec::new());
        let rules = upcasters.rules;
        if rules.len() > RULES_MAX {
            return Err(
                Error::new(ErrorKind::Upcasters).detail(format!("more than {RULES_MAX} rules"))
            );
        }
        for rule in rules {
            EventType::new(&rule.event_type)?;
            match rule.version {
                Some(version) => steps.push((version, rule)),
                None => renames.push(rule),
            }
        }
        steps.sort_by_key(|(version, _)| *version);
        for (version, rule) in steps {
            chains.add(version, rule)?;
        }
        for rule in renames {
            chains.add_rename(rule, shape)?;
        }
        chains.check_aliases(shape)?;
        chains.check_targets(shape)?;
        chains.find_ends()?;
        Ok(chains)
    }

    fn add(&mut self, version: u32, rule: Rule) -> Result<(), Error> {
        let chain = self.rules.entry(rule.event_type.clone()).or_default();
        let next = index(chain.len()) + 1;
        if version != next {
            let fault = match version {
                0 => "versions start at 1".to_owned(),
                known if known < next => format!("version {known} has two rules"),
                _ => format!("no rule reads version {next}"),
            };
            return Err(unsound(&rule.event_type, &fault));
        }
        chain.push(rule);
        Ok(())
    }

    fn add_rename(&mut self, rule: Rule, shape: &Shape) -> Result<(), Error> {
        if shape.reads(&rule.event_type) {
            return Err(unsound(
                &rule.event_type,
                "it is renamed and still one of the aggregate's types",
            ));
        }
        let chain = self.rules.entry(rule.event_type.clone()).or_default();
        if chain.last().is_some_and(|last| last.version.is_none()) {
            return Err(unsound(&rule.event_type, "it is renamed twice"));
        }
        chain.push(rule);
        Ok(())
    }

    /// Events stored under an alias would pass by the rules of the name that it stands for.
    fn check_aliases(&self, shape: &Shape) -> Result<(), Error> {
        for known in shape.names().iter().filter(|known| self.knows(known.name)) {
            let is_alias =
                |other: &&Name| other.variant == known.variant && !self.knows(other.name);
            if let Some(alias) = shape.names().iter().find(is_alias) {
                let fault = format!(
                    "its alias {} has no rules of its own; replace the alias by a rename",
                    alias.name
                );
                return Err(unsound(known.name, &fault));
            }
        }
        Ok(())
    }

    fn check_targets(&self, shape: &Shape) -> Result<(), Error> {
        for rule in self.rules.values().flatten() {
            for (index, target) in rule.targets.iter().enumerate() {
                if rule.targets[..index]
                    .iter()
                    .any(|earlier| earlier.event_type == target.event_type)
                {
                    let fault = format!("a split names {} twice", target.event_type);
                    return Err(unsound(&rule.event_type, &fault));
                }
                let end = self.end(&target.event_type);
                let goes_on = target.version < end.get();
                let is_read = target.version == end.get() && shape.reads(&target.event_type);
                if target.version == 0 || !(goes_on || is_read) {
                    let fault = format!(
                        "a rule leads to {} v{}, which nothing reads",
                        target.event_type, target.version
                    );
                    return Err(unsound(&rule.event_type, &fault));
                }
            }
        }
        Ok(())
    }

    /// Finds what each stored type can become, and refuses a rule from which one gets back to where one came from.
    fn find_ends(&mut self) -> Result<(), Error> {
        let mut found = BTreeMap::new();
        for (event_type, chain) in &self.rules {
            let mut ends = BTreeSet::new();
            for version in 1..=index(chain.len()) {
                let start = Target { event_type: event_type.clone(), version };
                ends.extend(self.ends_of(&start, &mut Vec::new(), &mut found)?);
            }
            self.ends.insert(event_type.clone(), ends);
        }
        Ok(())
    }

    fn ends_of(
        &self,
        at: &Target,
        path: &mut Vec<Target>,
        found: &mut BTreeMap<(String, u32), BTreeSet<String>>,
    ) -> Result<BTreeSet<String>, Error> {
        let key = (at.event_type.clone(), at.version);
        if let Some(ends) = found.get(&key) {
            return Ok(ends.clone());
        }
        let Some(rule) = self.rule(&at.event_type, at.version) else {
            return Ok(BTreeSet::from([at.event_type.clone()]));
        };
        if path.contains(at) {
            return Err(unsound(&at.event_type, "its rules lead back to it"));
        }
        path.push(at.clone());
        let mut ends = BTreeSet::new();
        for target in &rule.targets {
            ends.extend(self.ends_of(target, path, found)?);
        }
        path.pop();
        found.insert(key, ends.clone());
        Ok(ends)
    }

    fn rule(&self, event_type: &str, version: u32) -> Option<&Rule> {
        let before = usize::try_from(version.checked_sub(1)?).ok()?;
        self.rules.get(event_type)?.get(before)
    }

    /// Whether no type has a history.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether events were stored under this name at some time, although the aggregate may not read it now.
    pub(super) fn knows(&self, event_type: &str) -> bool {
        self.rules.contains_key(event_type)
    }

    /// The version at which a type's chain ends: the one that new events are stamped with.
    pub(super) fn end(&self, event_type: &str) -> SchemaVersion {
        let rules = self.rules.get(event_type).map_or(0, Vec::len);
        SchemaVersion::new(index(rules).saturating_add(1)).unwrap_or_default()
    }

    /// The stored types with a history, and where each rule of it leads.
    pub(super) fn histories(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        let target = |target: &Target| format!("{} v{}", target.event_type, target.version);
        let targets =
            move |rule: &Rule| rule.targets.iter().map(target).collect::<Vec<_>>().join(", ");
        self.rules
            .iter()
            .map(move |(name, rules)| (name.as_str(), rules.iter().map(targets).collect()))
    }

    /// The stored types of which some version turns into one of these types in the end.
    pub(super) fn sources(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<&str> {
        let yields_wanted =
            |(_, ends): &(&String, &BTreeSet<String>)| ends.iter().any(|end| is_wanted(end));
        self.ends.iter().filter(yields_wanted).map(|(event_type, _)| event_type.as_str()).collect()
    }

    /// Brings a stored event up to date: to one event, several or none.
    pub(super) fn upcast(
        &self,
        stored: Current,
        version: SchemaVersion,
    ) -> Result<Vec<Current>, Error> {
        let known = self.end(&stored.event_type);
        if version > known {
            return Err(Error::new(ErrorKind::NewerSchema { known }));
        }
        let mut current = Vec::new();
        self.apply(stored, version.get(), &mut current)?;
        Ok(current)
    }

    fn apply(&self, old: Current, version: u32, current: &mut Vec<Current>) -> Result<(), Error> {
        let Some(rule) = self.rule(&old.event_type, version) else {
            current.push(old);
            return Ok(());
        };
        let failed = |source: Failure| {
            let detail = format!("the one that reads {} v{version}", old.event_type);
            Error::new(ErrorKind::Upcast).detail(detail).caused_by(source)
        };
        for upcasted in (rule.convert)(old.encoding, &old.payload).map_err(failed)? {
            let Upcasted { event_type, encoding, payload } = upcasted;
            let declared = |target: &&Target| target.event_type == event_type;
            let Some(target) = rule.targets.iter().find(declared) else {
                return Err(failed(format!("{event_type} is not among its targets").into()));
            };
            let payload = payload.map_err(|source| failed(source.into()))?;
            self.apply(Current { event_type, encoding, payload }, target.version, current)?;
        }
        Ok(())
    }
}

fn index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX - 1)
}

fn unsound(event_type: &str, fault: &str) -> Error {
    Error::new(ErrorKind::Upcasters).detail(format!("{event_type}: {fault}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Deserialize)]
    enum Event {
        A,
        B,
        #[serde(alias = "Sea")]
        C,
    }

    fn chains(upcasters: Upcasters) -> Result<Chains, String> {
        let shape = Shape::of::<Event>().unwrap();
        Chains::new(upcasters, &shape).map_err(|error| {
            assert_eq!(*error.kind(), ErrorKind::Upcasters);
            error.to_string()
        })
    }

    fn stored(event_type: &str) -> Current {
        let (event_type, payload) = (event_type.to_owned(), b"0".to_vec());
        Current { event_type, encoding: Encoding::Json, payload }
    }

    fn same(value: Value) -> Value {
        value
    }

    #[test]
    fn unsound_chains_are_refused() {
        let refused = |upcasters, why: &str| {
            let error = chains(upcasters).err().expect(why);
            assert!(error.contains(why), "{error}");
        };
        refused(Upcasters::new().step("A", 2, same), "no rule reads version 1");
        refused(Upcasters::new().step("A", 1, same).step("A", 3, same), "no rule reads version 2");
        refused(Upcasters::new().step("A", 1, same).step("A", 1, same), "version 1 has two rules");
        refused(Upcasters::new().step("A", 0, same), "versions start at 1");
        refused(Upcasters::new().step("Gone", 1, same), "leads to Gone v2, which nothing reads");
        refused(
            Upcasters::new().rename("Old", "Nowhere"),
            "leads to Nowhere v1, which nothing reads",
        );
        refused(Upcasters::new().rename("Old", ("A", 2)), "leads to A v2, which nothing reads");
        refused(Upcasters::new().rename("Old", ("A", 0)), "leads to A v0, which nothing reads");
        refused(
            Upcasters::new().rename("A", "B"),
            "renamed and still one of the aggregate's types",
        );
        refused(Upcasters::new().rename("Old", "A").rename("Old", "B"), "renamed twice");
        refused(Upcasters::new().rename("X", "Y").rename("Y", "X"), "lead back to it");
        let twice = Upcasters::new().split("X", 1, [("A", 1), ("A", 1)], |_: Value| vec![]);
        refused(twice, "a split names A twice");
        refused(Upcasters::new().step("C", 1, same), "its alias Sea has no rules of its own");
        let many =
            (1..=1_001).fold(Upcasters::new(), |many, version| many.step("A", version, same));
        refused(many, "more than 1000 rules");
        refused(
            Upcasters::new().split("X", 1, ["Y"], |_: Value| vec![]).rename("Y", "X"),
            "lead back to it",
        );
    }

    #[test]
    fn rules_apply_one_after_the_other() {
        let chains = chains(
            Upcasters::new()
                .step("A", 2, |old: Value| json!({ "then": old }))
                .step("A", 1, |old: Value| json!({ "first": old }))
                .rename("Old", ("A", 2))
                .split("Both", 1, [("A", 3), ("B", 1)], |old: Value| {
                    vec![Upcasted::new("B", &old), Upcasted::new("A", &old), Upcasted::new("B", &1)]
                })
                .discard("Noise", 1),
        )
        .unwrap();
        let upcast = |event_type: &str, version: u32| {
            let version = SchemaVersion::new(version).unwrap();
            let current = chains.upcast(stored(event_type), version).ok().unwrap();
            let shown = current
                .iter()
                .map(|c| format!("{} {}", c.event_type, String::from_utf8_lossy(&c.payload)));
            shown.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(upcast("A", 1), r#"A {"then":{"first":0}}"#);
        assert_eq!(upcast("A", 2), r#"A {"then":0}"#);
        assert_eq!(upcast("A", 3), "A 0");
        assert_eq!(upcast("Old", 1), r#"A {"then":0}"#);
        assert_eq!(upcast("Both", 1), "B 0, A 0, B 1");
        assert_eq!(upcast("Noise", 1), "");
        assert_eq!(chains.end("A").get(), 3);
        assert_eq!(chains.sources(|name| name == "B"), ["Both"]);
        assert_eq!(chains.sources(|name| name == "A"), ["A", "Both", "Old"]);
    }

    #[test]
    fn a_split_gives_only_what_it_declares() {
        let chains =
            chains(Upcasters::new().split("X", 1, ["A"], |_: Value| vec![Upcasted::new("B", &0)]))
                .unwrap();
        let refused = chains.upcast(stored("X"), SchemaVersion::FIRST).err().unwrap();
        assert_eq!(*refused.kind(), ErrorKind::Upcast);
        let source = std::error::Error::source(&refused).unwrap();
        assert_eq!(source.to_string(), "B is not among its targets");
    }
}
