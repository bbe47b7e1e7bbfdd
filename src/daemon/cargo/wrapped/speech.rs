//! What a wrapped call said and left in words, with the person's own paths: diagnostics and
//! notices for cargo to read, and the dep-info that tells it what to look at.

use std::path::Path;

use super::super::{
    lines::{Line, read_line},
    messages::map_texts,
    mounts::Mounts,
};

/// The way back from the mounts of one call.
pub struct Speech {
    texts: Mounts,
    /// With blanks as in lists of files.
    names: Mounts,
}

impl Speech {
    /// Of mounts with what stands behind each. `None` where a name cannot be written without care.
    pub fn new(pairs: &[(&Path, &str)]) -> Option<Speech> {
        let real: Option<Vec<(String, String)>> = pairs
            .iter()
            .map(|(real, fixed)| {
                let real = real.to_str()?;
                let is_plain = real.chars().all(|one| !one.is_control() && !matches!(one, '\\' | '"'));
                is_plain.then(|| (real.to_owned(), (*fixed).to_owned()))
            })
            .collect();
        let real = real?;
        let escaped = real.iter().map(|(real, fixed)| (real.replace(' ', "\\ "), fixed.clone())).collect();
        Some(Speech { texts: Mounts::new(real), names: Mounts::new(escaped) })
    }

    /// What it wrote on a stream.
    pub fn stream(&self, text: &str) -> String {
        let line = |line: &str| match line.starts_with('{') {
            true => map_texts(line, |text| self.texts.to_real(text)),
            false => self.texts.to_real(line),
        };
        text.split_inclusive('\n').map(line).collect()
    }

    /// Its dep-info.
    pub fn dep_info(&self, text: &str) -> String {
        let line = |line: &str| if line.starts_with('#') { self.texts.to_real(line) } else { self.names.to_real(line) };
        text.split_inclusive('\n').map(line).collect()
    }
}

/// The first line of the first error that rustc has said, for a log.
pub fn first_error(stderr: &str) -> String {
    let errors = stderr.lines().filter_map(|line| match read_line(line) {
        Line::Diagnostic(diagnostic) if diagnostic.level.starts_with("error") => Some(diagnostic.rendered),
        _ => None,
    });
    let rendered = errors.map(|text| anstream::adapter::strip_str(&text).to_string()).next();
    rendered.and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_said_with_the_persons_paths() {
        let pairs = [(Path::new("/my w/t/deps"), "/vx/out"), (Path::new("/my w/t/build/a-1/out"), "/vx/build/a-1/out")];
        let speech = Speech::new(&pairs).expect("plain names");
        let said =
            "{\"$message_type\":\"artifact\",\"artifact\":\"/vx/out/liba.rmeta\",\"emit\":\"metadata\"}\nx /vx/out\n";
        assert_eq!(
            speech.stream(said),
            "{\"$message_type\":\"artifact\",\"artifact\":\"/my w/t/deps/liba.rmeta\",\"emit\":\"metadata\"}\nx /my w/t/deps\n"
        );
        assert_eq!(
            speech
                .dep_info("/vx/out/a.d: src/a\\ b.rs /vx/build/a-1/out/x.rs\n\n# env-dep:OUT_DIR=/vx/build/a-1/out\n"),
            "/my\\ w/t/deps/a.d: src/a\\ b.rs /my\\ w/t/build/a-1/out/x.rs\n\n# env-dep:OUT_DIR=/my w/t/build/a-1/out\n"
        );
        assert!(Speech::new(&[(Path::new("/a\\b"), "/vx/out")]).is_none());
    }

    #[test]
    fn the_first_error_is_named() {
        let line = |level: &str, text: &str| {
            format!(r#"{{"message":"m","level":"{level}","children":[],"rendered":"\u001b[1m{text}\u001b[0m\n x"}}"#)
        };
        let said = [line("warning", "w"), line("error", "error[E1]: e"), line("error", "f")].join("\n");
        assert_eq!(first_error(&said), "error[E1]: e");
        assert_eq!(first_error("noise"), "");
    }
}
