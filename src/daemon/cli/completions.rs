//! The completions and the manual of `vx`, compared with the clap tree. packaging/build takes the
//! committed files.

use std::{fs, path::PathBuf};

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
fn the_manual_names_every_word_and_option() {
    let manual = include_str!("../../../man/vx.1");
    for word in Words::command().get_subcommands() {
        let name = word.get_name();
        assert!(manual.contains(&format!(".Ic {name}")), "man/vx.1 lacks {name}");
        for option in word.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(manual.contains(&format!("Fl \\-{option}")), "man/vx.1 lacks --{option} of {name}");
        }
    }
}
