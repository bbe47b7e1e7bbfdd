//! The words of vxctl, as one clap tree: help, completions and the manual's check come from it.
//! What the words do lies in main.rs and the files named for them.

use clap::{
    Parser, Subcommand,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use shared::paths::Service;

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
    /// Have services finish what runs, take nothing new, and leave
    ///
    /// Their sockets stay: the next connect starts them again, the new version after an upgrade.
    /// One after the other is waited for, the daemon first.
    Drain {
        /// Which; all three if none is named
        #[arg(value_parser = services(), value_name = "SERVICE")]
        services: Vec<Service>,
    },
    /// Start services and their sockets
    Start {
        /// Which; all three if none is named
        #[arg(value_parser = services(), value_name = "SERVICE")]
        services: Vec<Service>,
    },
    /// Stop services and their sockets, so that no connect starts them again
    ///
    /// What runs is finished for at most 20 seconds. They are up again at the next login.
    Stop {
        /// Which; all three if none is named
        #[arg(value_parser = services(), value_name = "SERVICE")]
        services: Vec<Service>,
    },
    /// Restart services; their sockets stay, and running builds wait
    Restart {
        /// Which; all three if none is named
        #[arg(value_parser = services(), value_name = "SERVICE")]
        services: Vec<Service>,
    },
    /// Show or change how much running services log, until they leave
    ///
    /// The levels are syslog's: emerg, alert, crit, err, warning, notice, info, debug.
    LogLevel {
        /// [SERVICE] [LEVEL]: which, all three if none is named, and the new level
        #[arg(num_args = 0..=2, value_name = "SERVICE|LEVEL")]
        words: Vec<String>,
    },
    /// Show what the services logged
    ///
    /// From the journal; where none can be read, the last lines that the running services remember.
    Logs {
        /// Which; all three if none is named
        #[arg(value_parser = services(), value_name = "SERVICE")]
        services: Vec<Service>,
        /// Go on showing new lines
        #[arg(short, long)]
        follow: bool,
        /// How many lines, newest last
        #[arg(short = 'n', long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100_000))]
        lines: u32,
    },
    /// Look after the store of vx-casd
    Cas {
        /// What to do
        #[command(subcommand)]
        word: CasWord,
    },
    /// Look for what keeps vx from working, or from working well, and say the cures
    ///
    /// Services are started, as a build would. The exit status is 1 if something is broken.
    Doctor,
    /// The services as agents of launchd (macOS)
    Agents {
        /// What to do
        #[command(subcommand)]
        word: AgentsWord,
    },
}

/// The words of `agents`.
#[derive(Debug, Subcommand)]
pub enum AgentsWord {
    /// Print the property lists
    Print {
        /// Which; all three if none is named
        #[arg(value_parser = services(), value_name = "SERVICE")]
        services: Vec<Service>,
    },
    /// Write them to ~/Library/LaunchAgents and print what to type (macOS)
    Install {
        /// Which; all three if none is named
        #[arg(value_parser = services(), value_name = "SERVICE")]
        services: Vec<Service>,
    },
}

/// The words of `cas`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum CasWord {
    /// Read every blob and every result, and say what is damaged
    Verify {
        /// Print one JSON object, for programs
        #[arg(long)]
        json: bool,
    },
    /// Bring the store down to its budget now
    Gc {
        /// Print one JSON object, for programs
        #[arg(long)]
        json: bool,
    },
    /// Show what is in the store
    Stats {
        /// Print one JSON object, for programs
        #[arg(long)]
        json: bool,
    },
}

/// A service goes by its program, its unit and its short name.
pub fn named(word: &str) -> Option<Service> {
    let short = |service: Service| match service {
        Service::Daemon => "daemon",
        Service::Cas => "casd",
        Service::Exec => "execd",
    };
    Service::ALL
        .into_iter()
        .find(|service| [service.program(), service.unit(), service.name(), short(*service)].contains(&word))
}

fn services() -> impl TypedValueParser<Value = Service> {
    let values = [
        PossibleValue::new("vx-daemon").aliases(["vx", "daemon"]),
        PossibleValue::new("vx-casd").aliases(["cas", "casd"]),
        PossibleValue::new("vx-execd").aliases(["exec", "execd"]),
    ];
    PossibleValuesParser::new(values).try_map(|word| named(&word).ok_or_else(|| format!("{word} is no service")))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use clap::{CommandFactory, Parser};
    use clap_complete::{Shell, generate};

    use shared::paths::Service;

    use super::{Cli, named};

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
        let mut words: Vec<_> = Cli::command().get_subcommands().cloned().collect();
        words.extend(words.clone().iter().flat_map(|word| word.get_subcommands().cloned().collect::<Vec<_>>()));
        for word in words {
            let name = word.get_name();
            let spaced = name.replace('-', "\\-");
            assert!(
                [name, &spaced].iter().any(|name| manual.contains(&format!(" {name}"))),
                "man/vxctl.1 lacks {name}"
            );
            for option in word.get_arguments().filter_map(|a| a.get_long()) {
                assert!(manual.contains(&format!("\\-{option}")), "man/vxctl.1 lacks --{option} of {name}");
            }
        }
    }

    #[test]
    fn a_service_has_several_names() {
        for (word, service) in [("vx", Service::Daemon), ("casd", Service::Cas), ("vx-execd", Service::Exec)] {
            assert_eq!(named(word), Some(service));
            assert!(Cli::try_parse_from(["vxctl", "drain", word]).is_ok());
        }
        assert_eq!(named("debug"), None);
    }
}
