//! A file without a name, for what another process writes and the daemon reads.

use std::{io, os::fd::OwnedFd};

/// A new one, in memory.
#[cfg(target_os = "linux")]
pub fn file() -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create("vx", rustix::fs::MemfdFlags::CLOEXEC)?)
}

/// A new one, whose name is taken away at once: there is no memfd here.
#[cfg(not(target_os = "linux"))]
pub fn file() -> io::Result<OwnedFd> {
    use std::{
        fs::{self, File},
        sync::atomic::{AtomicU64, Ordering},
    };

    use shared::paths::{Service, cache_dir};

    static LAST: AtomicU64 = AtomicU64::new(0);
    let folder = cache_dir(Service::Daemon).ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(&folder)?;
    let name = format!("answer-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
    let path = folder.join(name);
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file.into())
}
