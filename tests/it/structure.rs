//! The shape of the source: modules stand in the order of their dependencies, and there are no circles.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every source file as a module path, with its text without tests and comments.
fn modules() -> BTreeMap<Vec<String>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(module_path(&root, &path), code_of(&path));
            }
        }
    }
    found
}

fn module_path(root: &Path, file: &Path) -> Vec<String> {
    let inside: PathBuf = file.strip_prefix(root).unwrap().with_extension("");
    let mut path: Vec<String> =
        inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
        path.pop();
    }
    path
}

fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The submodules that a file declares, in order.
fn declared(code: &str) -> Vec<String> {
    let declaration = |line: &str| {
        let rest = line.trim().strip_suffix(';')?;
        let rest = rest.strip_prefix("pub(crate) ").or(rest.strip_prefix("pub ")).unwrap_or(rest);
        let name = rest.strip_prefix("mod ")?;
        Some(name.to_owned())
    };
    code.lines().filter_map(declaration).collect()
}

/// Every path that the code takes from the crate's root or a parent, as a full module path.
fn mentioned(module: &[String], code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let follows_a_name = code[..start]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        if follows_a_name {
            continue;
        }
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let end = start + code[start..].find(|c: char| !is_path(c)).unwrap();
        let mut path: Vec<String> =
            if code[start..].starts_with("crate") { vec![] } else { module.to_vec() };
        for part in code[start..end].split("::").filter(|part| !part.is_empty()) {
            match part {
                "crate" => {}
                "super" => drop(path.pop()),
                name => path.push(name.to_owned()),
            }
        }
        if code[..end].ends_with("::") && code[end..].starts_with('{') {
            let group = code[end + 1..].split('}').next().unwrap();
            assert!(!group.contains('{'), "{module:?} nests groups of imports: {group}");
            for name in group.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let first = name.split("::").next().unwrap().to_owned();
                found.push(path.iter().cloned().chain([first]).collect());
            }
            continue;
        }
        found.push(path);
    }
    found
}

#[test]
fn a_module_uses_only_what_is_declared_before_it() {
    let modules = modules();
    let order: BTreeMap<Vec<String>, Vec<String>> =
        modules.iter().map(|(path, code)| (path.clone(), declared(code))).collect();
    let mut faults = Vec::new();
    let mut checked = 0;
    for (module, code) in &modules {
        for used in mentioned(module, code) {
            let shared = module.iter().zip(&used).take_while(|(a, b)| a == b).count();
            let (parent, Some(target)) = (&module[..shared], used.get(shared)) else {
                continue;
            };
            let siblings = &order[parent];
            let place = |name: &String| siblings.iter().position(|sibling| sibling == name);
            checked += 1;
            match (module.get(shared), place(target)) {
                // An item of a parent, or of the crate's root: the module that owns it is to be named.
                (Some(_), None) => {
                    faults.push(format!("{module:?} takes {used:?} from a front page"));
                }
                (Some(own), Some(target_place)) if place(own).unwrap() <= target_place => {
                    faults.push(format!("{module:?} uses {used:?}, which is declared after it"));
                }
                _ => {}
            }
        }
    }
    assert!(checked > 100, "only {checked} paths were found: the test looks in the wrong place");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_front_page_holds_no_items() {
    for (module, code) in modules() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module.join("/"));
        if !root.is_dir() {
            continue;
        }
        for item in ["fn ", "struct ", "enum ", "trait ", "impl ", "const "] {
            let found = code.lines().find(|line| line.split(' ').any(|word| word == item.trim()));
            assert!(found.is_none(), "{module:?} holds {found:?}");
        }
    }
}

#[test]
fn files_stay_small() {
    for (module, code) in modules() {
        let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 450, "{module:?} has {lines} lines of code");
    }
}

#[test]
fn the_file_system_is_left_to_one_place() {
    for (module, code) in modules() {
        let owns = module == ["testing", "schema_lock"] || module.starts_with(&["storage".into()]);
        for outside in ["fs", "net", "process", "io"] {
            // What lies on disk meets the errors of its files (a projection those of its database), what moves history the
            // streams that it is given, and
            // neither anything else of the outside.
            let on_disk = module.starts_with(&["store".into(), "file".into()])
                || module == ["snapshot", "contents"]
                || module.starts_with(&["projection".into(), "sqlite".into()])
                || module.starts_with(&["transfer".into()]);
            let meets = outside == "io" && on_disk;
            let named = code.contains(&format!("std::{outside}")) || code.contains("use std::{");
            assert!(owns || meets || !named, "{module:?} names std::{outside}");
        }
    }
}

#[test]
fn the_readme_shows_the_bank_in_less_than_80_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bank = fs::read_to_string(root.join("examples/bank.rs")).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(
        readme.contains(&format!("```rust\n{bank}```\n")),
        "the README's program is examples/bank.rs"
    );
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let lines = bank.lines().filter(is_code).count();
    assert!(lines < 80, "{lines} lines");
}
