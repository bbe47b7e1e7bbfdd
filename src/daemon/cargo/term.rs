//! `[term]` of cargo's configuration: how much the person wants to see, and in which form, where
//! the words on the command line leave it open. As in cargo, what makes no sense counts as unset.

use super::{
    config::Config,
    config_tree::{Node, Text},
};

/// When progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    /// On terminals that can show it.
    #[default]
    Auto,
    Always,
    Never,
}

/// Whether it is said what a future rustc will reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Future {
    Told,
    Silent,
}

/// The keys that vx honours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Term {
    pub quiet: Option<bool>,
    pub verbose: Option<bool>,
    /// As it is written.
    pub color: Option<String>,
    pub progress: When,
    /// Of the progress, in columns.
    pub width: Option<usize>,
}

impl Config {
    /// `future-incompat-report.frequency`.
    pub fn future(&self) -> Future {
        let frequency = self.text(&["future-incompat-report", "frequency"]);
        if frequency.is_some_and(|frequency| frequency.text == "never") { Future::Silent } else { Future::Told }
    }

    /// The table, with CARGO_TERM_* above it.
    pub fn term(&self) -> Term {
        let word = |path: &[&str]| self.text(path).map(|Text { text, .. }| text);
        let flag = |key: &str| match word(&["term", key]) {
            Some(text) => text.parse().ok(),
            None => match self.tree.get(&["term", key]) {
                Some(Node::Bool(value)) => Some(*value),
                _ => None,
            },
        };
        let progress = match word(&["term", "progress", "when"]).as_deref() {
            Some("always") => When::Always,
            Some("never") => When::Never,
            _ => When::Auto,
        };
        let width = match self.tree.get(&["term", "progress", "width"]) {
            Some(Node::Other(toml::Value::Integer(width))) => usize::try_from(*width).ok(),
            _ => None,
        };
        let width = word(&["term", "progress", "width"]).and_then(|text| text.parse().ok()).or(width);
        Term { quiet: flag("quiet"), verbose: flag("verbose"), color: word(&["term", "color"]), progress, width }
    }
}
