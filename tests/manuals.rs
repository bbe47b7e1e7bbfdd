//! The manuals of the services and of vxctl beside what the programs say of themselves: no option and no word that only one of
//! the two knows. vx's own is compared with its parser, in the daemon.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::kit::dist_root;

/// One that nobody replaces meanwhile: what cargo made is, by another test.
fn installed(program: &str) -> PathBuf {
    dist_root().join(program)
}

/// What a program says of itself, or of one of its words.
fn help(program: &Path, words: &[&str]) -> String {
    let done = Command::new(program).args(words).arg("--help").output().expect("the program can be started");
    assert!(done.status.success(), "{program:?} {words:?} --help: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("help is text")
}

fn manual(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(page)).expect("there is a manual")
}

/// The long options of a help text.
fn offered(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let long = |line: &str| {
        let rest = line.split_once("--")?.1;
        Some(rest.chars().take_while(|one| one.is_alphanumeric() || *one == '-').collect())
    };
    lines.filter_map(long).collect()
}

/// The long options that a manual marks as such.
fn written(manual: &str) -> BTreeSet<String> {
    let lines = manual.lines().filter(|line| line.starts_with('.') && line.contains("Fl"));
    lines.flat_map(str::split_whitespace).filter_map(|word| word.strip_prefix("\\-")).map(str::to_owned).collect()
}

/// The words below a program or a word of it.
fn words(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines =
        lines.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).filter(|word| word != "help").collect()
}

#[test]
fn services_have_the_options_of_their_manuals() {
    for (program, page) in [
        ("libexec/vx/vx-daemon", "vx-daemon.8"),
        ("libexec/vx/vx-casd", "vx-casd.8"),
        ("libexec/vx/vx-execd", "vx-execd.8"),
    ] {
        let mut offered = offered(&help(&installed(program), &[]));
        // Every program has these two, and no page of a service spends words on them.
        offered.retain(|option| option != "help" && option != "version");
        assert_eq!(offered, written(&manual(page)), "{page}");
    }
}

#[test]
fn vxctl_has_the_words_and_options_of_its_manual() {
    let (program, page) = (installed("bin/vxctl"), manual("vxctl.1"));
    let text = page.replace("\\-", "-");
    let mut offered_all = offered(&help(&program, &[]));
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let said = help(&program, &path.iter().map(String::as_str).collect::<Vec<_>>());
        offered_all.extend(offered(&said));
        for word in words(&said) {
            assert!(text.contains(&format!(" {word}")), "vxctl.1 lacks {word}");
            open.push([path.clone(), vec![word]].concat());
        }
    }
    let unknown: Vec<String> = written(&page).difference(&offered_all).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new(), "vxctl.1 knows options that vxctl refuses");
    offered_all.retain(|option| option != "help" && option != "version");
    let missing: Vec<String> = offered_all.difference(&written(&page)).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "vxctl.1 lacks options of vxctl");
}
