//! The place that vx runs in: folders, space, tools, journal, and whether it outlives the login.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use shared::{
    config::Config,
    control::Value,
    paths::{self, Service},
};

use super::Finding;
use crate::{bus::Manager, journal::Journal, render, state::Row};

/// Below this nothing larger than a toy builds.
const SPACE_NEEDED: u64 = 1 << 30;
/// Below this a build of a larger workspace runs out.
const SPACE_WANTED: u64 = 10 << 30;

/// The folder of the sockets.
pub fn runtime_folder() -> Finding {
    let subject = "runtime folder";
    let Some(folder) = paths::runtime_dir().and_then(|vx| Some(vx.parent()?.to_owned())) else {
        let cure = "log in by ssh, a console or machinectl (su and cron set none), or set it to a folder of your own, mode 0700";
        return Finding::fail(subject, "XDG_RUNTIME_DIR is not set and /run/user has none for this user", cure);
    };
    let shown = folder.display();
    let own = rustix::process::getuid().as_raw();
    match fs::metadata(&folder) {
        Err(e) => Finding::fail(subject, format!("{shown}: {e}"), format!("mkdir -m 0700 {shown}, or log in anew")),
        Ok(meta) if meta.uid() != own => {
            Finding::fail(subject, format!("{shown} belongs to uid {}", meta.uid()), "set XDG_RUNTIME_DIR to your own")
        }
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 && !cfg!(target_os = "macos") => {
            Finding::warn(subject, format!("{shown} is open to others"), format!("chmod 0700 {shown}"))
        }
        Ok(_) => Finding::ok(subject, shown.to_string()),
    }
}

/// The store: whether it is open, and what room it has.
pub fn store(config: &Config, rows: &[Row]) -> Finding {
    let subject = "store";
    let folder = config.cas.path.clone().or_else(|| paths::cache_dir(Service::Cas));
    let Some(folder) = folder else {
        return Finding::fail(subject, "neither XDG_CACHE_HOME nor HOME is set", "set HOME");
    };
    let shown = folder.display().to_string();
    let report = rows.iter().find(|row| row.service == Service::Cas).and_then(|row| row.report.as_ref());
    let bytes = report.map(|report| report.status.get("store_bytes"));
    if bytes == Some(None) {
        return Finding::fail(subject, format!("{shown} cannot be opened"), "vxctl logs vx-casd says why");
    }
    let size = match bytes {
        Some(Some(Value::U64(bytes))) => format!("{} in {shown}", render::bytes(*bytes)),
        _ => shown,
    };
    if let Some(note) = report.and_then(|report| report.status.get("note")) {
        let note = match note {
            Value::List(notes) => notes.join("\n"),
            Value::Str(note) => note.clone(),
            _ => String::new(),
        };
        if !note.is_empty() {
            return Finding::warn(
                subject,
                format!("{size}\n{note}"),
                "vxctl logs vx-casd; vxctl cas verify reads all of it",
            );
        }
    }
    match free(&folder) {
        Some(free) => space(subject, &size, free),
        None => Finding::ok(subject, size),
    }
}

fn space(subject: &str, size: &str, free: u64) -> Finding {
    let found = format!("{size}, {} free", render::bytes(free));
    let cure = "free some, move the store ([cas] path in vx.toml), or: vxctl cas gc";
    match free {
        0..SPACE_NEEDED => Finding::fail(subject, found, cure),
        SPACE_NEEDED..SPACE_WANTED => Finding::warn(subject, found, cure),
        _ => Finding::ok(subject, found),
    }
}

/// Of the file system that a folder is on, or will be.
fn free(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|path| path.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// cargo and rustup as this shell finds them: each build uses what its own shell finds.
pub fn tools() -> Vec<Finding> {
    let cargo = match find("cargo") {
        Some(path) => Finding::ok("cargo", path.display().to_string()),
        None => Finding::fail(
            "cargo",
            "is not on the PATH of this shell, nor in ~/.cargo/bin",
            "https://rustup.rs, or add its folder to PATH",
        ),
    };
    let rustup = match find("rustup") {
        Some(path) => Finding::ok("rustup", path.display().to_string()),
        None => Finding::ok("rustup", "not found: +toolchain has no effect, nor has a toolchain file of a workspace"),
    };
    let mut findings = vec![cargo, rustup];
    findings.extend(client());
    findings
}

/// The `vx` that this shell finds beside the vxctl that runs: of two installations each has its own.
fn client() -> Option<Finding> {
    let own = std::env::current_exe().ok()?.canonicalize().ok()?;
    let found = match find("vx") {
        Some(path) => path,
        None => {
            return Some(Finding::warn("vx", "is not on the PATH of this shell", "add the folder of vxctl to PATH"));
        }
    };
    let real = found.canonicalize().ok()?;
    if real.parent() == own.parent() {
        return Some(Finding::ok("vx", found.display().to_string()));
    }
    let words = format!("{} comes from another place than this vxctl, {}", found.display(), own.display());
    Some(Finding::warn("vx", words, "put one of the two first on PATH, and packaging/install --uninstall the other"))
}

fn find(program: &str) -> Option<PathBuf> {
    let mut folders = paths::search_path();
    folders.extend(paths::home().map(|home| home.join(".cargo/bin")));
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
}

/// Whether anything that is logged is kept and can be read.
pub fn journal(journal: Option<&Journal>) -> Finding {
    let subject = "journal";
    if journal.is_some_and(Journal::knows_any) {
        return Finding::ok(subject, "is kept, and can be read");
    }
    if cfg!(target_os = "macos") {
        return Finding::ok(subject, "none: messages go to ~/Library/Logs/vx");
    }
    let found = "has no message of the services: vxctl logs shows only what they remember while they run";
    let cure = "sudo mkdir -p /var/log/journal && sudo systemctl restart systemd-journald makes it persistent, \
                which a user's own journal needs";
    Finding::warn(subject, found, cure)
}

/// Whether the services outlive the login. Either is right; who wonders why a build ended is told.
pub fn linger(manager: Option<&Manager>) -> Option<Finding> {
    manager?;
    let uid = rustix::process::getuid().as_raw();
    let lingers = fs::read_dir("/var/lib/systemd/linger")
        .is_ok_and(|entries| entries.flatten().any(|entry| user_id(&entry.file_name().to_string_lossy()) == Some(uid)));
    Some(Finding::ok(
        "linger",
        if lingers {
            "on: services go on without a login session"
        } else {
            "off: services end with the last login session; loginctl enable-linger keeps them"
        },
    ))
}

/// The number of a user by name; those of other sources than the file are not looked for.
fn user_id(name: &str) -> Option<u32> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn little_space_is_said_before_it_is_none() {
        let of = |free| space("store", "1 GiB in /x", free).verdict;
        assert_eq!((of(0), of(5 << 30), of(50 << 30)), (Verdict::Fail, Verdict::Warn, Verdict::Ok));
    }

    #[test]
    fn a_user_has_a_number() {
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(user_id("nobody-of-that-name"), None);
    }
}
