//! Which targets of the packages, as far as a word of cargo's has them: all kinds for most words,
//! none of what is only tested for `run` and `doc`.

use clap::{Args, ValueHint};

use crate::cargo::select::{NO_VALUE, TargetChoice};

/// The target words that `doc` has, too.
#[derive(Debug, Clone, Default, Args)]
pub struct MadeArgs {
    /// Only this package's library
    #[arg(long)]
    lib: bool,
    /// All binaries
    #[arg(long)]
    bins: bool,
    /// Only the specified binary
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    bin: Vec<String>,
    /// All examples
    #[arg(long)]
    examples: bool,
    /// Only the specified example
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    example: Vec<String>,
}

/// The target words of `build`, `check`, `test`, `bench` and `clippy`.
#[derive(Debug, Clone, Default, Args)]
pub struct TargetArgs {
    #[command(flatten)]
    made: MadeArgs,
    /// All targets that have `test = true` set
    #[arg(long)]
    tests: bool,
    /// Only the specified test target
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    test: Vec<String>,
    /// All targets that have `bench = true` set
    #[arg(long)]
    benches: bool,
    /// Only the specified bench target
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    bench: Vec<String>,
    /// All targets
    #[arg(long)]
    all_targets: bool,
    /// What no target word says.
    #[arg(skip)]
    other: Option<TargetChoice>,
}

impl TargetArgs {
    /// What the name of a test chooses.
    pub fn named_tests() -> Self {
        TargetArgs { other: Some(TargetChoice::NamedTests), ..TargetArgs::default() }
    }

    /// The tests in the documentation of libraries.
    pub fn documentation() -> Self {
        TargetArgs { other: Some(TargetChoice::Documentation), ..TargetArgs::default() }
    }

    /// Whether anything was chosen.
    pub fn is_specific(&self) -> bool {
        !self.choices().is_empty()
    }

    /// What is documented.
    pub fn of_doc(made: MadeArgs) -> Self {
        TargetArgs { made, ..TargetArgs::default() }
    }

    /// These binaries and examples.
    pub fn named(bin: Vec<String>, example: Vec<String>) -> Self {
        TargetArgs::of_doc(MadeArgs { bin, example, ..MadeArgs::default() })
    }

    /// What was chosen; nothing stands for the word's own choice.
    pub fn choices(&self) -> Vec<TargetChoice> {
        let flags = [
            (self.made.lib, TargetChoice::Lib),
            (self.made.bins, TargetChoice::Bins),
            (self.made.examples, TargetChoice::Examples),
            (self.tests, TargetChoice::Tests),
            (self.benches, TargetChoice::Benches),
            (self.all_targets, TargetChoice::All),
        ];
        let names = [
            (&self.made.bin, TargetChoice::Bin as fn(String) -> TargetChoice),
            (&self.made.example, TargetChoice::Example),
            (&self.test, TargetChoice::Test),
            (&self.bench, TargetChoice::Bench),
        ];
        let flags = flags.into_iter().filter_map(|(is_set, choice)| is_set.then_some(choice));
        flags
            .chain(names.into_iter().flat_map(|(names, choice)| names.iter().cloned().map(choice)))
            .chain(self.other.clone())
            .collect()
    }
}
