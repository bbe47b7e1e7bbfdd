//! The completions and the manual of `vx`, compared with the clap tree. packaging/build takes the
//! committed files.

use std::{collections::BTreeSet, fs, path::PathBuf};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::words::Words;

fn completions() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/completions"));
    [(Shell::Bash, "vx.bash"), (Shell::Zsh, "_vx"), (Shell::Fish, "vx.fish")]
        .into_iter()
        .map(|(shell, file)| {
            let mut text = Vec::new();
            generate(shell, &mut Words::command(), "vx", &mut text);
            (folder.join(file), text)
        })
        .collect()
}

#[test]
fn the_tree_is_sound() {
    Words::command().debug_assert();
}

#[test]
fn committed_completions_are_those_of_the_tree() {
    for (file, text) in completions() {
        assert!(
            fs::read(&file).is_ok_and(|committed| committed == text),
            "{} is stale; `cargo test --bin vx-daemon -- --ignored write_completions` writes it",
            file.display()
        );
    }
}

#[test]
#[ignore = "writes packaging/completions"]
fn write_completions() {
    for (file, text) in completions() {
        fs::write(&file, text).expect("packaging/completions can be written");
    }
}

#[test]
fn the_manual_and_the_tree_name_the_same() {
    let manual = include_str!("../../../man/vx.1");
    let mut tree = Words::command();
    tree.build();
    let mut flags = BTreeSet::new();
    let mut take = |arguments: &mut dyn Iterator<Item = &clap::Arg>| {
        for argument in arguments {
            let long = argument.get_long_and_visible_aliases().unwrap_or_default();
            flags.extend(long.iter().map(|long| format!("\\-{long}")));
            flags.extend(argument.get_short().map(String::from));
        }
    };
    take(&mut tree.get_arguments());
    for word in tree.get_subcommands() {
        let name = word.get_name();
        assert!(manual.contains(&format!(".It Ic {name}")), "man/vx.1 lacks {name}");
        take(&mut word.get_arguments());
    }
    // What stands behind Fl, up to the next macro or comma.
    let mut written = BTreeSet::new();
    for line in manual.lines().filter(|line| line.starts_with('.')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        written.extend(
            words.windows(2).filter(|pair| pair[0].trim_start_matches('.') == "Fl").map(|pair| pair[1].to_owned()),
        );
    }
    let lacks = |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(lacks(&flags, &written), Vec::<String>::new(), "flags that man/vx.1 lacks");
    assert_eq!(lacks(&written, &flags), Vec::<String>::new(), "flags of man/vx.1 that are refused");
    let words: Vec<&str> = tree.get_subcommands().map(|word| word.get_name()).collect();
    for line in manual.lines().filter_map(|line| line.strip_prefix(".It Ic ")) {
        let word = line.split_whitespace().next().unwrap_or_default();
        assert!(words.contains(&word), "man/vx.1 knows {word}, which is refused");
    }
}
