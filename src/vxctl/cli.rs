//! The words of vxctl, as one clap tree: help, completions and the manual's check come from it.
//! What the words do lies in main.rs.

use clap::{Parser, Subcommand};

/// Control the services of vx: vx-daemon, vx-casd and vx-execd
#[derive(Debug, Parser)]
#[command(
    name = "vxctl",
    version,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 done, 1 failed, 2 a service does not answer, 3 vx.toml is invalid, 4 version mismatch, 64 usage.\nManual: man vxctl"
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub word: Word,
}

/// The words.
#[derive(Debug, Subcommand)]
pub enum Word {
    /// Show each service: state, process, uptime, version and what it is doing
    ///
    /// Nothing is started by asking. A service that is not running is no failure.
    Status {
        /// Print one JSON object, for programs
        #[arg(long)]
        json: bool,
    },
    /// Have the running services read vx.toml again
    ///
    /// If the file is invalid, the error is shown with file, line and column, the services keep
    /// the configuration they have, and the exit status is 3.
    Reload,
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use clap::CommandFactory;
    use clap_complete::{Shell, generate};

    use super::Cli;

    /// Where packaging/install takes the completions from.
    fn completions() -> Vec<(PathBuf, Vec<u8>)> {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/completions"));
        [(Shell::Bash, "vxctl.bash"), (Shell::Zsh, "_vxctl"), (Shell::Fish, "vxctl.fish")]
            .into_iter()
            .map(|(shell, file)| {
                let mut text = Vec::new();
                generate(shell, &mut Cli::command(), "vxctl", &mut text);
                (folder.join(file), text)
            })
            .collect()
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn committed_completions_are_those_of_the_tree() {
        for (file, text) in completions() {
            assert!(
                fs::read(&file).is_ok_and(|committed| committed == text),
                "{} is stale; `cargo test --bin vxctl -- --ignored write_completions` writes it",
                file.display()
            );
        }
    }

    #[test]
    #[ignore = "writes packaging/completions"]
    fn write_completions() {
        for (file, text) in completions() {
            fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("folder");
            fs::write(&file, text).expect("write");
        }
    }

    #[test]
    fn the_manual_names_every_word_and_option() {
        let manual = include_str!("../../man/vxctl.1");
        for word in Cli::command().get_subcommands() {
            let name = word.get_name();
            assert!(manual.contains(&format!(".Ic {name}")), "man/vxctl.1 lacks {name}");
            for option in word.get_arguments().filter_map(|a| a.get_long()) {
                assert!(manual.contains(&format!("Fl \\-{option}")), "man/vxctl.1 lacks --{option} of {name}");
            }
        }
    }
}
