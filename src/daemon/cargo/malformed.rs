//! Variables that set keys of cargo's configuration to what those cannot be, refused in cargo's words: cargo
//! itself is asked without them, or not at all. What files and `--config` say wrongly it says itself.

use super::{
    config::{Config, ConfigError, variable_name},
    term::When,
};

/// `true` or `false`.
const FLAGS: [&[&str]; 8] = [
    &["term", "verbose"],
    &["term", "quiet"],
    &["term", "hyperlinks"],
    &["term", "unicode"],
    &["term", "progress", "term-integration"],
    &["http", "check-revoke"],
    &["http", "debug"],
    &["http", "multiplexing"],
];

/// Numbers, with the greatest that each takes and what cargo calls that.
const NUMBERS: [(&[&str], i64, &str); 3] = [
    (&["term", "progress", "width"], i64::MAX, "usize"),
    (&["http", "timeout"], i64::MAX, "u64"),
    (&["http", "low-speed-limit"], u32::MAX as i64, "u32"),
];

impl Config {
    /// cargo's words about the first variable that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        let set = |path: &[&str]| {
            let name = variable_name(path);
            let value = self.variable(&name)?.to_owned();
            Some((name, value))
        };
        for (name, value) in FLAGS.iter().filter_map(|path| set(path)) {
            if !matches!(value.as_str(), "true" | "false") {
                let problem = "provided string was not `true` or `false`".to_owned();
                return Err(ConfigError::Variable { name, problem });
            }
        }
        for (path, most, kind) in NUMBERS {
            let Some((name, value)) = set(path) else { continue };
            let problem = match value.parse::<i64>() {
                Err(err) => err.to_string(),
                Ok(number) if (0..=most).contains(&number) => continue,
                Ok(number) => of_key(path, &format!("invalid value: integer `{number}`, expected {kind}")),
            };
            return Err(ConfigError::Variable { name, problem });
        }
        let when = ["term", "progress", "when"];
        match self.variable_of(&when) {
            None | Some("auto" | "never") => Ok(()),
            Some("always") => match self.term() {
                term if term.progress == When::Always && term.width.is_none() => Err(ConfigError::NoWidth),
                _ => Ok(()),
            },
            Some(other) => {
                let problem = format!("unknown variant `{other}`, expected one of `auto`, `never`, `always`");
                Err(ConfigError::Variable { name: variable_name(&when), problem: of_key(&when, &problem) })
            }
        }
    }
}

fn of_key(path: &[&str], problem: &str) -> String {
    format!("could not load config key `{}`\n\nCaused by:\n  {problem}", path.join("."))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::files::Disk;
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_refused_in_cargos_words() {
        let check = |name: &str, value: &str| {
            let environment = [(name.to_owned(), value.to_owned())].into();
            let config = Config::load(&Disk::default(), Path::new("/"), Path::new("/nowhere"), &environment, &[]);
            config.expect("good configuration").check().map_err(|err| err.to_string())
        };
        let wrong = |name: &str, problem: &str| Err(format!("error in environment variable `{name}`: {problem}"));
        for name in ["CARGO_TERM_VERBOSE", "CARGO_TERM_PROGRESS_TERM_INTEGRATION", "CARGO_HTTP_MULTIPLEXING"] {
            assert_eq!(check(name, "true"), Ok(()));
            for value in ["1", "", "TRUE"] {
                assert_eq!(check(name, value), wrong(name, "provided string was not `true` or `false`"));
            }
        }
        let width = "CARGO_TERM_PROGRESS_WIDTH";
        assert_eq!(check(width, "80"), Ok(()));
        assert_eq!(check(width, "x"), wrong(width, "invalid digit found in string"));
        assert_eq!(check(width, ""), wrong(width, "cannot parse integer from empty string"));
        let negative = "could not load config key `term.progress.width`\n\nCaused by:\n  invalid value: integer `-1`, expected usize";
        assert_eq!(check(width, "-1"), wrong(width, negative));
        let when = "CARGO_TERM_PROGRESS_WHEN";
        assert_eq!(check(when, "never"), Ok(()));
        assert_eq!(check(when, "always"), Err("\"always\" progress requires a `width` key".to_owned()));
        let unknown = "could not load config key `term.progress.when`\n\nCaused by:\n  unknown variant `x`, expected one of `auto`, `never`, `always`";
        assert_eq!(check(when, "x"), wrong(when, unknown));
        assert_eq!(check("CARGO_TERM_COLOURS", "x"), Ok(()), "no key of cargo's");
    }
}
