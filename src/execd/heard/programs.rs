//! Which programs of the host an action runs, as far as they are not in every key already.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{host, toolchain::host_tools};

/// The program of the host at a path, and the one that runs it if it is a script, as far as they are
/// not in every key already. Also where none is: the next time one may be.
pub fn of(path: &Path) -> Vec<PathBuf> {
    let mut programs: Vec<PathBuf> = program(path).into_iter().collect();
    let mut head = [0_u8; 256];
    let read = programs.first().and_then(|path| fs::File::open(path).ok()?.read(&mut head).ok()).unwrap_or_default();
    let interpreter = head[..read].strip_prefix(b"#!").and_then(|line| line.split(|byte| *byte == b'\n').next());
    let words = interpreter.and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    programs.extend(words.split_whitespace().next().and_then(|name| program(Path::new(name))));
    programs
}

fn program(path: &Path) -> Option<PathBuf> {
    // /bin is /usr/bin on most hosts, and one name is enough.
    let folder = path.parent().filter(|_| host::is_shown(path)).and_then(|folder| fs::canonicalize(folder).ok())?;
    let path = folder.join(path.file_name()?);
    (!host_tools::counts(&path)).then_some(path)
}
