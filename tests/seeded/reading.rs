//! Bugs in recovery, and in whatever reads what was written.

use crate::bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "the directory is not synced after a rename",
        found_by: "crash_points",
        changes: &[(
            "store/file/recovery/segments.rs",
            r#"storage.sync_names().map_err(failed("syncing the name of", segment))"#,
            r#"if crate::bug("the directory is not synced after a rename") {
                return Ok(());
            }
            storage.sync_names().map_err(failed("syncing the name of", segment))"#,
        )],
    },
    Bug {
        name: "every segment has the same tag",
        found_by: "misplaced",
        changes: &[(
            "store/file/recovery/segments.rs",
            "lower_half_of_large(storage.random())",
            r#"match crate::bug("every segment has the same tag") {
                true => 0x6C61_6E6E_6173_4652,
                false => lower_half_of_large(storage.random()),
            }"#,
        )],
    },
    Bug {
        name: "a segment is named before its header is synced",
        found_by: "crash_points",
        changes: &[(
            "store/file/recovery/segments.rs",
            r#"spare.sync().map_err(failed("syncing", name))"#,
            r#"if crate::bug("a segment is named before its header is synced") {
                return Ok(());
            }
            spare.sync().map_err(failed("syncing", name))"#,
        )],
    },
    Bug {
        name: "a store whose identity is missing is made anew",
        found_by: "misplaced",
        changes: &[(
            "store/file/recovery/segments.rs",
            "check_nothing_is_lost(storage, names)?;",
            r#"if !crate::bug("a store whose identity is missing is made anew") {
                check_nothing_is_lost(storage, names)?;
            }"#,
        )],
    },
    Bug {
        name: "the length of a sealed segment is not held against its successor",
        found_by: "misplaced",
        changes: &[(
            "store/file/recovery/segments.rs",
            "if length == u64::from(expected) {",
            r#"let any = crate::bug("the length of a sealed segment is not held against its successor");
            if any || length == u64::from(expected) {"#,
        )],
    },
    Bug {
        name: "the directory is not synced when a store is opened",
        found_by: "crash_points",
        changes: &[(
            "store/file/recovery/recover.rs",
            r#"storage.sync_names().map_err(failed("syncing the directory of", FileName::Store))?;"#,
            r#"if !crate::bug("the directory is not synced when a store is opened") {
                storage.sync_names().map_err(failed("syncing the directory of", FileName::Store))?;
            }"#,
        )],
    },
    Bug {
        name: "the unproven end of the log is shown as it is found",
        found_by: "crash_points",
        changes: &[(
            "store/file/recovery/recover.rs",
            "if !unproven.is_empty() {",
            r#"let as_it_is = crate::bug("the unproven end of the log is shown as it is found");
            if !unproven.is_empty() && !as_it_is {"#,
        )],
    },
    Bug {
        name: "drafts and the spare file stay",
        found_by: "misplaced",
        changes: &[(
            "store/file/recovery/recover.rs",
            "for name in names.iter().filter(|name| name.is_unfinished()) {",
            r#"let stay = crate::bug("drafts and the spare file stay");
            for name in names.iter().filter(|name| name.is_unfinished() && !stay) {"#,
        )],
    },
    Bug {
        name: "the index goes on to what recovery did not take",
        found_by: "crash_points",
        changes: &[(
            "store/file/recovery/replay.rs",
            "recent.truncate(self.tip.end);",
            r#"if !crate::bug("the index goes on to what recovery did not take") {
                        recent.truncate(self.tip.end);
                    }"#,
        )],
    },
    Bug {
        name: "the unproven end of the log is synced and not written again",
        found_by: "crash_points",
        changes: &[(
            "store/file/recovery/tail.rs",
            r#"file.write_all_at(at, bytes).map_err(failed("writing", name))?;"#,
            r#"if !crate::bug("the unproven end of the log is synced and not written again") {
                file.write_all_at(at, bytes).map_err(failed("writing", name))?;
            }"#,
        )],
    },
    Bug {
        name: "nobody looks for promises behind a fault",
        found_by: "damage::without",
        changes: &[(
            "store/file/recovery/tail.rs",
            "if promised(&**self.file, self.name(), self.tag, (end.into(), last + 1))? > end {",
            r#"let nobody = crate::bug("nobody looks for promises behind a fault");
            if !nobody && promised(&**self.file, self.name(), self.tag, (end.into(), last + 1))? > end {"#,
        )],
    },
    Bug {
        name: "a torn tail stays and may be taken for what follows",
        found_by: "misplaced",
        changes: &[
            (
                "store/file/recovery/tail.rs",
                r#"self.file.set_len(end.into()).map_err(failed("cutting", self.name()))?;"#,
                r#"if crate::bug("a torn tail stays and may be taken for what follows") {
                    return Ok(Some(cut));
                }
                self.file.set_len(end.into()).map_err(failed("cutting", self.name()))?;"#,
            ),
            (
                "store/file/scan.rs",
                "header.chain == self.chain && Some(header.first) == self.head.checked_add(1)",
                r#"let any = crate::bug("a torn tail stays and may be taken for what follows");
                (any || header.chain == self.chain) && Some(header.first) == self.head.checked_add(1)"#,
            ),
            // A tail that begins behind what is written is overwritten up to the end of a page.
            (
                "store/file/frame.rs",
                "let zeros = end.next_multiple_of(PAGE_BYTES as u64).min(prepared).saturating_sub(end);",
                r#"let any = crate::bug("a torn tail stays and may be taken for what follows");
                let prepared = if any { end } else { prepared };
                let zeros = end.next_multiple_of(PAGE_BYTES as u64).min(prepared).saturating_sub(end);"#,
            ),
        ],
    },
    Bug {
        name: "a follower shows frames that nothing proves to be synced",
        found_by: "followers",
        changes: &[(
            "store/file/chase.rs",
            "self.proven = self.proven.max(Address::new(number, header.synced));",
            r#"self.proven = self.proven.max(Address::new(number, header.synced));
            if crate::bug("a follower shows frames that nothing proves to be synced") {
                self.proven = self.proven.max(ahead.end.plus(header.length));
            }"#,
        )],
    },
    Bug {
        name: "a read error is the end of the log",
        found_by: "rivals",
        changes: &[(
            "store/file/scan.rs",
            r#"let read = read.map_err(failed("reading", name))?;"#,
            r#"let read = match crate::bug("a read error is the end of the log") {
                true => read.unwrap_or(0),
                false => read.map_err(failed("reading", name))?,
            };"#,
        )],
    },
    Bug {
        name: "the checksum of a record is not verified",
        found_by: "damage::no_damage",
        changes: &[(
            "store/file/record.rs",
            "if checksum(seed, content) != sum {",
            r#"let any = crate::bug("the checksum of a record is not verified");
            if !any && checksum(seed, content) != sum {"#,
        )],
    },
    Bug {
        name: "an unknown kind of record is read like a known one",
        found_by: "newer",
        changes: &[(
            "store/file/record.rs",
            "if shape & (shape::EVENT | shape::UNKNOWN) != shape::EVENT {",
            r#"let any = crate::bug("an unknown kind of record is read like a known one");
    if !any && shape & (shape::EVENT | shape::UNKNOWN) != shape::EVENT {"#,
        )],
    },
    Bug {
        name: "unknown features are ignored",
        found_by: "newer",
        changes: &[(
            "store/file/beginning.rs",
            "if number != 0 {",
            r#"if number != 0 && !crate::bug("unknown features are ignored") {"#,
        )],
    },
    Bug {
        name: "the watermark of another store is believed",
        found_by: "misplaced",
        changes: &[(
            "store/file/watermark.rs",
            "|| fields.array() != Some(store)",
            r#"|| fields.array() != Some(store)
            && !crate::bug("the watermark of another store is believed")"#,
        )],
    },
    Bug {
        name: "the checksum of an index block is not verified",
        found_by: "damage::no_damage",
        changes: &[(
            "store/file/index/run.rs",
            "let content = verified(into, self.tag, block);",
            r#"let any = crate::bug("the checksum of an index block is not verified");
            let content = verified(into, self.tag, block).or(any.then_some(&into[..]));"#,
        )],
    },
    Bug {
        name: "the index run of another store is used",
        found_by: "misplaced",
        changes: &[(
            "store/file/index/run.rs",
            "Ok(if owner != store {",
            r#"let any = crate::bug("the index run of another store is used");
            Ok(if owner != store && !any {"#,
        )],
    },
    Bug {
        name: "a snapshot is ahead of the log",
        found_by: "snapshots",
        changes: &[
            (
                "repository/binding.rs",
                "if !self.backing.store.head().is_ok_and(|head| head.durable >= tip.position) {",
                r#"let ahead = crate::bug("a snapshot is ahead of the log");
                let head = self.backing.store.head();
                if !ahead && !head.is_ok_and(|head| head.durable >= tip.position) {"#,
            ),
            (
                "repository/binding.rs",
                "Ok(stands_on.is_none().then_some(loaded))",
                r#"let ahead = crate::bug("a snapshot is ahead of the log");
                Ok((ahead || stands_on.is_none()).then_some(loaded))"#,
            ),
        ],
    },
    Bug {
        name: "a snapshot that stands on another event is used",
        found_by: "snapshots",
        changes: &[(
            "repository/binding.rs",
            "Some(id) if !is_same(id) => return Ok(None),",
            r#"Some(id)
                if !is_same(id)
                    && !crate::bug("a snapshot that stands on another event is used") =>
            {
                return Ok(None);
            }"#,
        )],
    },
];
