//! Bugs on the way of a commit.

use crate::bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "acknowledged before it is synced",
        found_by: "crash_points",
        changes: &[(
            "store/file/writer.rs",
            "Durability::Synced => self.sync(shared, self.staged.tip),",
            r#"Durability::Synced if crate::bug("acknowledged before it is synced") => {
                self.synced = (self.staged.tip.end.offset(), self.staged.tip.head);
                self.show(shared, self.staged.tip);
                Ok(())
            }
            Durability::Synced => self.sync(shared, self.staged.tip),"#,
        )],
    },
    Bug {
        name: "the watermark is written before the sync",
        found_by: "crash_points",
        changes: &[(
            "store/file/writer.rs",
            "fn sync(&mut self, shared: Shared<'_>, tip: Tip) -> Result<(), Error> {",
            r#"fn sync(&mut self, shared: Shared<'_>, tip: Tip) -> Result<(), Error> {
            if crate::bug("the watermark is written before the sync") {
                let _ = self.watermark.write(self.mark((tip.end, tip.head), false));
            }"#,
        )],
    },
    Bug {
        name: "events are shown before they are synced",
        found_by: "rivals",
        changes: &[(
            "store/file/writer.rs",
            "fn sync(&mut self, shared: Shared<'_>, tip: Tip) -> Result<(), Error> {",
            r#"fn sync(&mut self, shared: Shared<'_>, tip: Tip) -> Result<(), Error> {
            if crate::bug("events are shown before they are synced") {
                let head = Head { acknowledged: tip.head, durable: self.synced.1 };
                shared.heads.publish(tip.end, head);
            }"#,
        )],
    },
    Bug {
        name: "what is buffered is said to be durable",
        found_by: "rivals",
        changes: &[(
            "store/file/writer.rs",
            "let head = Head { acknowledged: self.tip.head, durable: self.synced.1 };",
            r#"let buffered = crate::bug("what is buffered is said to be durable");
            let durable = if buffered { self.tip.head } else { self.synced.1 };
            let head = Head { acknowledged: self.tip.head, durable };"#,
        )],
    },
    Bug {
        name: "a failed sync is tried again",
        found_by: "io_errors",
        changes: &[(
            "store/file/writer.rs",
            "if let Err(source) = self.file.sync() {",
            r#"let again = |_| match crate::bug("a failed sync is tried again") {
                true => self.file.sync(),
                false => Err(std::io::ErrorKind::Other.into()),
            };
            if let Err(source) = self.file.sync().or_else(again) {"#,
        )],
    },
    Bug {
        name: "a failed sync does not poison",
        found_by: "rivals",
        changes: &[(
            "store/file/writer.rs",
            r#"return Err(shared.heads.forbid(format!("syncing {} failed: {source}", self.name())));"#,
            r#"if crate::bug("a failed sync does not poison") {
                return Err(Error::store(source));
            }
            return Err(shared.heads.forbid(format!("syncing {} failed: {source}", self.name())));"#,
        )],
    },
    Bug {
        name: "the remnant of a failed write stays",
        found_by: "io_errors",
        changes: &[(
            "store/file/writer.rs",
            "match self.undo(start, end, claim.prepared()) {",
            r#"let stays = crate::bug("the remnant of a failed write stays");
                match if stays { Ok(()) } else { self.undo(start, end, claim.prepared()) } {"#,
        )],
    },
    Bug {
        name: "the cleaning up after a failed write is not synced",
        found_by: "io_errors",
        changes: &[(
            "store/file/writer.rs",
            "self.file.write_zeros(start..end.min(prepared))?;\n        self.file.sync()",
            r#"self.file.write_zeros(start..end.min(prepared))?;
        if crate::bug("the cleaning up after a failed write is not synced") {
            return Ok(());
        }
        self.file.sync()"#,
        )],
    },
    Bug {
        name: "no watermark is written after a sync",
        found_by: "damage::no_damage_to_a_killed",
        changes: &[(
            "store/file/writer.rs",
            "let _ = self.watermark.write(self.mark((tip.end, tip.head), false));\n        Ok(())",
            r#"if !crate::bug("no watermark is written after a sync") {
                let _ = self.watermark.write(self.mark((tip.end, tip.head), false));
            }
            Ok(())"#,
        )],
    },
    Bug {
        name: "a frame says of itself that it is synced",
        found_by: "crash_points",
        changes: &[(
            "store/file/writer.rs",
            "self.staged.builder.finish(tag, first, self.synced.0, self.staged.tip.chain);",
            r#"{
            let itself = crate::bug("a frame says of itself that it is synced");
            let synced = if itself { frame.offset() } else { self.synced.0 };
            self.staged.builder.finish(tag, first, synced, self.staged.tip.chain)
        };"#,
        )],
    },
    Bug {
        name: "a sealed segment is not synced",
        found_by: "crash_points",
        changes: &[(
            "store/file/writer.rs",
            "let sealed = self.file.set_len(end.into()).and_then(|()| self.file.sync());",
            r#"let sealed = self.file.set_len(end.into()).and_then(|()| {
                if crate::bug("a sealed segment is not synced") { Ok(()) } else { self.file.sync() }
            });"#,
        )],
    },
    Bug {
        name: "a poisoned store is closed as if it were clean",
        found_by: "io_errors",
        changes: &[(
            "store/file/writer.rs",
            "pub(super) fn shut(&mut self, shared: Shared<'_>) -> Result<(), Error> {\n        self.sync_all(shared)?;",
            r#"pub(super) fn shut(&mut self, shared: Shared<'_>) -> Result<(), Error> {
        if let Err(error) = self.sync_all(shared)
            && !crate::bug("a poisoned store is closed as if it were clean")
        {
            return Err(error);
        }"#,
        )],
    },
    Bug {
        name: "a repetition is answered before the original is synced",
        found_by: "crash_points",
        changes: &[(
            "store/file/engine.rs",
            "if appended.already_there &&",
            r#"let at_once = crate::bug("a repetition is answered before the original is synced");
            if !at_once && appended.already_there &&"#,
        )],
    },
    Bug {
        name: "an index run is made of what is not synced",
        found_by: "crash_points",
        changes: &[(
            "store/file/tend.rs",
            "if all || self.syncs() {",
            r#"if crate::bug("an index run is made of what is not synced") {
            return Ok(());
        }
        if all || self.syncs() {"#,
        )],
    },
    Bug {
        name: "what nobody has synced is noted as synced",
        found_by: "crash_points",
        changes: &[(
            "store/file/tend.rs",
            "self.sync_aside()?;",
            r#"if !crate::bug("what nobody has synced is noted as synced") {
            self.sync_aside()?;
        }"#,
        )],
    },
    Bug {
        name: "a version outlives the failure of its write",
        found_by: "io_errors",
        changes: &[(
            "store/file/index/recent.rs",
            "if *address >= from {",
            r#"let stays = crate::bug("a version outlives the failure of its write");
            if stays {
                return true;
            }
            if *address >= from {"#,
        )],
    },
    Bug {
        name: "a stream is said to be new after a write to it failed",
        found_by: "io_errors",
        changes: &[(
            "store/file/index/recent.rs",
            "*address < from || self.found.contains_key(term)",
            r#"let is_new = crate::bug("a stream is said to be new after a write to it failed");
            *address < from || !is_new && self.found.contains_key(term)"#,
        )],
    },
    Bug {
        name: "a version is told before it is synced",
        found_by: "rivals",
        changes: &[(
            "store/file/view.rs",
            "Latest::Is(version, address) if address < end => {",
            r#"Latest::Is(version, address)
                    if address < end || crate::bug("a version is told before it is synced") =>
                {"#,
        )],
    },
];
