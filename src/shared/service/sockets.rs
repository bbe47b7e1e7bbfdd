//! Takes the sockets that the init system passed, or binds one where `--listen` says so. A passed
//! socket is never bound or unlinked; one of our own is never taken from somebody who lives.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, Mode, flock};

use crate::paths::Service;

/// Why a service has no sockets to serve.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// Started by hand.
    #[error(
        "no socket was passed: {program} is started by {unit}.socket (systemctl --user start {unit}.socket), \
         or binds its own with --listen PATH"
    )]
    None {
        /// The program.
        program: &'static str,
        /// The stem of its units.
        unit: &'static str,
    },
    /// A passed descriptor cannot be used.
    #[error("passed descriptor {index} is no listening Unix socket: {source}")]
    Passed {
        /// Its place among the passed ones.
        index: usize,
        /// Why.
        source: io::Error,
    },
    /// Something lives at the path.
    #[error("{0} is served by a running process; stop it first")]
    Taken(PathBuf),
    /// Something that is no socket of ours lies at the path.
    #[error("{0} exists and is no socket of this user; it is left alone")]
    Foreign(PathBuf),
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// What could not be made.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The listening sockets of a service.
#[derive(Debug)]
pub struct Sockets {
    /// Where clients connect.
    pub main: UnixListener,
    /// Where peer-to-peer control connects.
    pub control: Option<UnixListener>,
    /// Where clients connect that know no Unix sockets.
    pub tcp: Option<TcpListener>,
}

/// Takes the passed sockets, or binds `listen` and its control socket beside it. To be called at
/// the top of main, before any thread: it edits the environment.
pub fn take_sockets(service: Service, listen: Option<&Path>) -> Result<Sockets, SocketsError> {
    if let Some(path) = listen {
        let control = path.with_extension("control.sock");
        return Ok(Sockets { main: bind(path)?, control: Some(bind(&control)?), tcp: None });
    }
    #[cfg(target_os = "macos")]
    if let Some((main, control)) = super::launchd::sockets() {
        return Ok(Sockets { main, control, tcp: None });
    }
    let mut passed = listenfd::ListenFd::from_env();
    let (mut main, mut control, mut tcp) = (None, None, None);
    for index in 0..passed.len() {
        if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
            tcp = Some(listener);
            continue;
        }
        let listener = passed.take_unix_listener(index).map_err(|source| SocketsError::Passed { index, source })?;
        let Some(listener) = listener else { continue };
        // A socket unit has one descriptor name for all its sockets, so the path tells them apart.
        let is_control = listener
            .local_addr()
            .ok()
            .and_then(|address| Some(address.as_pathname()?.to_string_lossy().ends_with(".control.sock")));
        if is_control == Some(true) { control = Some(listener) } else { main = Some(listener) }
    }
    match main {
        Some(main) => Ok(Sockets { main, control, tcp }),
        None => Err(SocketsError::None { program: service.program(), unit: service.unit() }),
    }
}

fn bind(path: &Path) -> Result<UnixListener, SocketsError> {
    let io = |source| SocketsError::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    }
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() || meta.uid() != rustix::process::getuid().as_raw() => {
            return Err(SocketsError::Foreign(path.to_owned()));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(SocketsError::Taken(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(io)?,
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(io(err)),
    }
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound.map_err(io)
}

/// Makes a folder of the service's own (0700) and locks it against a second instance for as long
/// as the returned file lives.
pub fn own_folder(path: &Path) -> Result<File, SocketsError> {
    let io = |source| SocketsError::Io { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
    let lock = File::options().create(true).truncate(false).write(true).open(path.join("lock")).map_err(io)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(SocketsError::Taken(path.to_owned())),
        Err(err) => Err(io(err.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x/cas.sock");
        let first = bind(&path).expect("nothing is there");
        assert_eq!(fs::metadata(&path).expect("bound").permissions().mode() & 0o777, 0o600);
        assert!(matches!(bind(&path), Err(SocketsError::Taken(_))));
        drop(first);
        bind(&path).expect("nobody listens any more");
        let file = folder.path().join("file");
        fs::write(&file, "mine").expect("a file");
        assert!(matches!(bind(&file), Err(SocketsError::Foreign(_))));
        assert_eq!(fs::read(&file).expect("it is left alone"), b"mine");
    }

    #[test]
    fn a_folder_has_one_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = own_folder(&folder.path().join("state")).expect("nobody has it");
        assert!(matches!(own_folder(&folder.path().join("state")), Err(SocketsError::Taken(_))));
        drop(lock);
        own_folder(&folder.path().join("state")).expect("nobody has it");
    }
}
