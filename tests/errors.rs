//! `docs/errors.md` has every reason that the code gives, as the library describes it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use skylinedb::reason;

/// Folders whose code gives reasons.
const FOLDERS: [&str; 4] = ["cli/src", "daemon/src", "engine/src", "src"];

/// Other words in capitals: environment variables, a pragma, and what never leaves the engine.
const NO_REASONS: [&str; 6] = ["FOREIGN_KEYS", "NOTIFY_SOCKET", "NOT_NOW", "OUT_DIR", "WATCHDOG_PID", "WATCHDOG_USEC"];
const NO_REASONS_BEGIN: [&str; 5] = ["CARGO_", "LISTEN_", "SKYLINEDB_", "SQLITE_", "XDG_"];

/// A reason need not have an underscore.
const ONE_WORD: &str = "CANCELLED";

fn code_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("tests") {
            code_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// The reasons that a file's code gives: its texts in capitals.
fn reasons_in(code: &str) -> impl Iterator<Item = &str> {
    code.split('"').filter(|text| {
        let is_in_capitals =
            text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let is_name = text.contains('_') && !text.starts_with('_') && !text.ends_with('_');
        is_in_capitals
            && (is_name || *text == ONE_WORD)
            && !NO_REASONS.contains(text)
            && !NO_REASONS_BEGIN.iter().any(|begin| text.starts_with(begin))
    })
}

#[test]
fn every_reason_in_the_code_is_known_to_the_library_and_the_other_way_round() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in FOLDERS {
        code_files(&root.join(folder), &mut files);
    }
    files.retain(|file| !file.ends_with("src/reason.rs") && !file.ends_with("src/code.rs"));
    let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).expect("code")).collect();
    let given: BTreeSet<&str> = texts.iter().flat_map(|text| reasons_in(text)).collect();
    let known: BTreeSet<&str> = reason::ALL.iter().map(|reason| reason.name).collect();
    let unknown: Vec<_> = given.difference(&known).collect();
    let unused: Vec<_> = known.difference(&given).collect();
    assert!(unknown.is_empty() && unused.is_empty(), "not in src/reason.rs: {unknown:?}; given by no code: {unused:?}");
}

#[test]
fn the_page_of_errors_is_that_of_the_library() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let text = fs::read_to_string(page).expect("the page");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = reason::ALL
        .iter()
        .map(|reason| {
            let reason::Reason { name, code, when, written, retry, what_to_do, .. } = reason;
            format!("| `{name}` | {code} | {when} | {written} | {retry} | {what_to_do} |")
        })
        .collect();
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len(), "{:?}", expected.last());
}
