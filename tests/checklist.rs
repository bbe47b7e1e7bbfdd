//! src/execd/REAPI.md, the checklist of the Remote Execution API, against the tests that it names: each is there, no MUST is left
//! open, and no check of the plain clients goes unnamed.

use std::{collections::BTreeSet, fs, path::Path};

const LIST: &str = include_str!("../src/execd/REAPI.md");
const CLIENTS: [(&str, &str); 2] =
    [("store", include_str!("reapi_client.py")), ("exec", include_str!("reapi_exec_client.py"))];

/// The cells of each row of each table, heads and rules left out.
fn rows(list: &str) -> Vec<Vec<&str>> {
    let is_head = |line: &&str| ["| field ", "| client ", "|---"].iter().any(|head| line.starts_with(head));
    let lines = list.lines().filter(|line| line.starts_with('|')).filter(|line| !is_head(line));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The names of every check and every test there is.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (client, text) in CLIENTS {
        let checks = text.lines().filter_map(|line| line.strip_prefix("def check_")?.split('(').next());
        names.extend(checks.map(|name| format!("{client}:{name}")));
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![top.join("src"), top.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                // The attribute, then the function: nothing else counts as a test.
                let functions =
                    text.split("#[test]\n").skip(1).filter_map(|rest| rest.trim_start().strip_prefix("fn "));
                names.extend(functions.filter_map(|rest| Some(rest.split('(').next()?.to_owned())));
            }
        }
    }
    names
}

fn problems(list: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut named = BTreeSet::new();
    for row in rows(list) {
        // The clients that were played through: name, transport, tests.
        let (demand, cell, outcomes) = match row[..] {
            [_, demand, cell, ref outcomes @ ..] => (demand, cell, outcomes),
            _ => panic!("a row of {} cells: {row:?}", row.len()),
        };
        let is_open = outcomes.contains(&"apart") || outcomes.iter().any(|outcome| outcome.is_empty());
        if demand.contains("MUST") && is_open {
            problems.push(format!("a MUST is open: {demand}"));
        }
        for test in cell.split(", ").filter(|test| *test != "—") {
            named.insert(test.to_owned());
            if !tests.contains(test) {
                problems.push(format!("no test {test}: {demand}"));
            }
        }
        if cell == "—" && outcomes.contains(&"holds") {
            problems.push(format!("nothing checks it: {demand}"));
        }
    }
    // What a check calls is a part of it and stands in no row by itself.
    let parts = |text: &str, check: &str| text.matches(&format!("check_{check}(")).count() > 1;
    for (client, text) in CLIENTS {
        let checks = text.lines().filter_map(|line| line.strip_prefix("def check_")?.split('(').next());
        let unnamed = checks.filter(|check| !parts(text, check) && !named.contains(&format!("{client}:{check}")));
        problems.extend(unnamed.map(|check| format!("{client}:{check} is named by no row")));
    }
    problems
}

#[test]
fn each_row_names_tests_that_exist() {
    let problems = problems(LIST, &tests());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(rows(LIST).len() > 80, "the tables are not read: {} rows", rows(LIST).len());
}

#[test]
fn a_wrong_list_is_found_out() {
    let tests = tests();
    let wrong = |row: &str| {
        let list = format!("{LIST}\n{row}\n");
        problems(&list, &tests).len()
    };
    assert_eq!(wrong("| `x` | MUST hold | exec:cache | holds | holds |"), 0);
    assert_eq!(wrong("| `x` | MUST hold | exec:nothing | holds | holds |"), 1);
    assert_eq!(wrong("| `x` | MUST hold | no_such_test | holds | holds |"), 1);
    assert_eq!(wrong("| `x` | MUST hold | exec:cache | holds | apart |"), 1);
    assert_eq!(wrong("| `x` | SHOULD hold | — | holds | holds |"), 1);
    assert!(problems("", &tests).len() > 30, "every check is unnamed then");
}
