//! Bugs in verifying, salvaging and backing up.

use crate::bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "a part of a commit that nothing proves is salvaged",
        found_by: "salvage",
        changes: &[(
            "store/file/care/salvage.rs",
            "Piece::Torn { at } => copy.drop_unfinished(at),",
            r#"Piece::Torn { .. }
                if crate::bug("a part of a commit that nothing proves is salvaged") => {}
            Piece::Torn { at } => copy.drop_unfinished(at),"#,
        )],
    },
    Bug {
        name: "a gap is given the version behind its own",
        found_by: "salvage",
        changes: &[(
            "store/file/care/lost.rs",
            "stream.last = Version::new(stream.last.get().saturating_add(1));",
            r#"let behind = crate::bug("a gap is given the version behind its own");
            stream.last = Version::new(stream.last.get() + 1 + u64::from(behind));"#,
        )],
    },
    Bug {
        name: "a store in the making has an identity",
        found_by: "cut_short",
        changes: &[(
            "store/file/care/copy.rs",
            r#"storage.remove(FileName::Store).map_err(failed("removing", FileName::Store))?;"#,
            r#"if !crate::bug("a store in the making has an identity") {
                storage.remove(FileName::Store).map_err(failed("removing", FileName::Store))?;
            }"#,
        )],
    },
    Bug {
        name: "a backup names a segment before it is synced",
        found_by: "cut_short",
        changes: &[(
            "store/file/care/backup.rs",
            r#"file.set_len(part.at).map_err(failed("cutting", into))?;
        part.sync()?;"#,
            r#"file.set_len(part.at).map_err(failed("cutting", into))?;
        if !crate::bug("a backup names a segment before it is synced") {
            part.sync()?;
        }"#,
        )],
    },
    Bug {
        name: "a backup takes what it can read for synced",
        found_by: "cut_short",
        changes: &[(
            "store/file/care/backup.rs",
            "let known = self.synced.saturating_sub(self.at).min(self.bytes.len() as u64);",
            r#"let known = match crate::bug("a backup takes what it can read for synced") {
            true => self.bytes.iter().zip(&there[..read]).take_while(|(a, b)| a == b).count() as u64,
            false => self.synced.saturating_sub(self.at).min(self.bytes.len() as u64),
        };"#,
        )],
    },
    Bug {
        name: "a backup shows frames before what they say is synced",
        found_by: "cut_short",
        changes: &[(
            "store/file/care/backup.rs",
            "let is_shown = is_there && !self.is_new;",
            r#"let before = crate::bug("a backup shows frames before what they say is synced");
        let is_shown = is_there && !self.is_new && !before;"#,
        )],
    },
    Bug {
        name: "verifying passes over the filters",
        found_by: "verifying",
        changes: &[(
            "store/file/index/check.rs",
            "if !filter::may_have(&filter.1[..CONTENT_BYTES], pair.0) {",
            r#"let any = crate::bug("verifying passes over the filters");
                if !any && !filter::may_have(&filter.1[..CONTENT_BYTES], pair.0) {"#,
        )],
    },
    Bug {
        name: "verifying passes over the places",
        found_by: "verifying",
        changes: &[(
            "store/file/care/verify.rs",
            "let finding = if due == (Place { position: event.position(), time, address: at }) {",
            r#"let any = crate::bug("verifying passes over the places");
        let finding = if any || due == (Place { position: event.position(), time, address: at }) {"#,
        )],
    },
    Bug {
        name: "verifying does not look for the end of a run in the log",
        found_by: "verifying",
        changes: &[(
            "store/file/care/verify.rs",
            "if !sections.has_end_of(run)? {",
            r#"let any = crate::bug("verifying does not look for the end of a run in the log");
            if !any && !sections.has_end_of(run)? {"#,
        )],
    },
];
