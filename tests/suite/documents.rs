//! What the documents name is there.

use std::{fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files that may hold the tests of `module`, as the table writes it.
fn files_of(module: &str) -> Vec<PathBuf> {
    let parts: Vec<&str> = module
        .split("::")
        .flat_map(|part| part.split('/'))
        .collect();
    let (leaf, above) = parts.split_last().expect("a module");
    let above = above.join("/");
    match parts[0] {
        "suite" => vec![root().join("tests").join(format!("{}.rs", parts.join("/")))],
        "web" if module.contains("::") => vec![root().join(format!("src/web/tests/{leaf}.rs"))],
        _ => [
            format!("src/{above}/{leaf}.rs"),
            format!("src/{above}/{leaf}/mod.rs"),
            format!("src/{above}/tests/{leaf}.rs"),
        ]
        .map(|file| root().join(file))
        .to_vec(),
    }
}

/// Whether one of `files` has a test of this name. (Cases of the database suite have no attribute of their own: a macro makes tests of them.)
fn has_test(files: &[PathBuf], name: &str) -> bool {
    files.iter().any(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let Some((before, _)) = text.split_once(&format!("fn {name}(")) else {
            return false;
        };
        let line = before.rsplit("\n\n").next().unwrap_or_default();
        line.contains("test]")
            || file
                .components()
                .any(|part| part.as_os_str() == "conformance")
    })
}

/// Texts between backticks.
fn code_of(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_conformance_table_names_is_there() {
    let table = fs::read_to_string(root().join("docs/conformance.md")).expect("the page");
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("proven by |"));
    let (mut wrong, mut named) = (Vec::new(), 0);
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let proof = cells.last().expect("a cell");
        let mut files = Vec::new();
        let mut found = 0;
        for code in code_of(proof) {
            let is_name = |text: &str| {
                text.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            };
            let name = match code.rsplit_once("::") {
                Some((module, name)) => {
                    files = files_of(module);
                    name
                }
                None if is_name(code) && !files.is_empty() => code,
                None => continue,
            };
            found += 1;
            if !has_test(&files, name) {
                wrong.push(code.to_owned());
            }
        }
        named += found;
        let reason = proof.split_once("**open**:").map(|(_, reason)| reason);
        match reason {
            Some(reason) if reason.trim().len() < 20 => wrong.push(format!("no reason: {row}")),
            None if found == 0 => wrong.push(format!("no test: {row}")),
            _ => {}
        }
    }
    assert!(named > 80, "the table is read: {named} tests are named");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
