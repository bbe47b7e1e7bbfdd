//! What a finished unit left, read from its ActionResult, and how one that failed ended.

use std::collections::HashMap;

use shared::{
    digest::{Digest, Function},
    fault::{Failure, Fault},
    reapi::{digest_from_proto, tree::Mode, v2},
};

use crate::cargo::{
    call::{Call, Role},
    plan::Unit,
};

/// What a unit left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Files by name: content and whether it is executable.
    pub files: HashMap<String, (Digest, Mode)>,
    /// The root of a script's OUT_DIR.
    pub out_dir: Option<Digest>,
    /// The roots of folders of documentation, by the output's name.
    pub folders: HashMap<String, Digest>,
}

impl Outcome {
    /// Reads it from a unit's result; every output that the call declares must be there.
    pub fn of(unit: &Unit, call: &Call, result: &v2::ActionResult) -> Result<Self, Failure> {
        let mut outcome = Outcome::default();
        let bad = |what: &str| Failure::new(Fault::Peer, format!("{}: the executor's result has {what}", unit.label));
        for file in &result.output_files {
            let digest = digest_from_proto(Function::Blake3, file.digest.as_ref()).map_err(|_| bad("a bad digest"))?;
            let name = file.path.rsplit('/').next().unwrap_or(&file.path).to_owned();
            let mode = if file.is_executable { Mode::Executable } else { Mode::Plain };
            outcome.files.insert(name, (digest, mode));
        }
        for folder in &result.output_directories {
            let digest = digest_from_proto(Function::Blake3, folder.root_directory_digest.as_ref());
            let digest = digest.map_err(|_| bad("a folder without its root"))?;
            match call.outputs.iter().find(|output| call.relative(&output.path) == folder.path) {
                Some(output) if output.role != Role::OutDir => {
                    outcome.folders.insert(output.name.clone(), digest);
                }
                _ => outcome.out_dir = Some(digest),
            }
        }
        for output in &call.outputs {
            let is_there = match output.role {
                Role::DebugInfo | Role::Sources => true,
                Role::Pages => outcome.folders.contains_key(&output.name),
                Role::OutDir => outcome.out_dir.is_some(),
                _ => outcome.files.contains_key(&output.name),
            };
            if !is_there {
                return Err(bad(&format!("no {}", output.name)));
            }
        }
        Ok(outcome)
    }

    /// rustc's `.d` file.
    pub fn dep_info(&self) -> Option<Digest> {
        let is_dep_info = |name: &str| std::path::Path::new(name).extension().is_some_and(|end| end == "d");
        self.files.iter().find(|(name, _)| is_dep_info(name)).map(|(_, (digest, _))| *digest)
    }
}

/// As cargo says it. Executors report death by a signal as shells do.
pub fn how_it_ended(code: i32) -> String {
    const NAMES: [(i32, &str); 14] = [
        (libc::SIGHUP, "SIGHUP: hangup"),
        (libc::SIGINT, "SIGINT: terminal interrupt signal"),
        (libc::SIGQUIT, "SIGQUIT: terminal quit signal"),
        (libc::SIGTRAP, "SIGTRAP: trace/breakpoint trap"),
        (libc::SIGALRM, "SIGALRM: alarm clock"),
        (libc::SIGBUS, "SIGBUS: access to undefined memory"),
        (libc::SIGFPE, "SIGFPE: erroneous arithmetic operation"),
        (libc::SIGSYS, "SIGSYS: bad system call"),
        (libc::SIGILL, "SIGILL: illegal instruction"),
        (libc::SIGABRT, "SIGABRT: process abort signal"),
        (libc::SIGKILL, "SIGKILL: kill"),
        (libc::SIGSEGV, "SIGSEGV: invalid memory reference"),
        (libc::SIGPIPE, "SIGPIPE: write on a pipe with no one to read"),
        (libc::SIGTERM, "SIGTERM: termination signal"),
    ];
    if !(129..=192).contains(&code) {
        return format!("exit status: {code}");
    }
    let signal = code - 128;
    let name = NAMES.iter().find(|(number, _)| *number == signal).map(|(_, name)| format!(", {name}"));
    format!("signal: {signal}{}", name.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_named_as_cargo_names_them() {
        assert_eq!(how_it_ended(1), "exit status: 1");
        assert_eq!(how_it_ended(137), "signal: 9, SIGKILL: kill");
        assert_eq!(how_it_ended(128 + 35), "signal: 35");
        assert_eq!(how_it_ended(255), "exit status: 255");
    }
}
