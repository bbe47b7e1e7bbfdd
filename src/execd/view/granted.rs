//! What exceptions of the person's vx.toml give one action beyond what actions get: read from its
//! properties, and laid into its view. Whether it is to have them the daemon has decided.

use std::{
    fs,
    os::unix::fs::FileTypeExt,
    path::{Component, Path, PathBuf},
};

use shared::{
    config::Rung,
    reapi::property::{NETWORK, READ, SOCKET, WRITE},
};

use super::ViewError;
use crate::{
    host::{self, Names},
    sandbox::{Mount, Network},
    stage::StageError,
};

/// Where nothing of the machine's can be shown.
const OWN: [&str; 4] = ["/vx", "/proc", "/dev", "/sys"];

/// What one action is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The network it sees.
    pub network: Network,
    /// Files and folders that it may read.
    pub read: Vec<PathBuf>,
    /// Folders that it may write to.
    pub write: Vec<PathBuf>,
    /// Sockets that it may connect to.
    pub socket: Vec<PathBuf>,
}

impl Granted {
    /// Takes in a property; `None` where it is none of these.
    pub fn take(&mut self, name: &str, value: &str) -> Option<Result<(), ViewError>> {
        let list = match (name, value) {
            (NETWORK, "host") => {
                self.network = Network::Host;
                return Some(Ok(()));
            }
            (READ, _) => &mut self.read,
            (WRITE, _) => &mut self.write,
            (SOCKET, _) => &mut self.socket,
            _ => return None,
        };
        // What is read is named with its content, which is for the key alone.
        let path = if name == READ { value.split_once(':').map_or("", |(_, path)| path) } else { value };
        let path = Path::new(path);
        let normal = path.components().skip(1).all(|one| matches!(one, Component::Normal(_)));
        if !path.is_absolute() || !normal || path.parent().is_none() || OWN.iter().any(|own| path.starts_with(own)) {
            let what = format!("the platform property {name}={value} is no place of this machine");
            return Some(Err(ViewError::Invalid(what)));
        }
        list.push(path.to_owned());
        Some(Ok(()))
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Granted::default()
    }

    /// Whose /etc is shown.
    pub fn names(&self) -> Names {
        if self.network == Network::Host { Names::Network } else { Names::Own }
    }

    /// As the record has it.
    pub fn words(&self) -> Vec<String> {
        let network = (self.network == Network::Host).then(|| "network".to_owned());
        let lists = [("read", &self.read), ("write", &self.write), ("socket", &self.socket)];
        let paths = lists.into_iter().flat_map(|(verb, paths)| paths.iter().map(move |path| (verb, path)));
        network.into_iter().chain(paths.map(|(verb, path)| format!("{verb} {}", path.display()))).collect()
    }

    /// Whether a path lies in what it may read or write, or is a socket of its: for who hears what is tried.
    #[cfg(any(target_os = "linux", test))]
    pub fn holds(&self, path: &Path) -> bool {
        self.read.iter().chain(&self.write).chain(&self.socket).any(|granted| path.starts_with(granted))
    }

    /// The mounts that show it, each at its own place; without namespaces the same as rules.
    pub fn mounts(&self, rung: Rung) -> Result<Vec<Mount>, ViewError> {
        if rung < Rung::Namespaces && !self.socket.is_empty() && rung > Rung::Process {
            let what = "an exception for a socket needs rung namespaces: without them a socket cannot be told from \
                        another (vxctl status says what rung is reached, and why)";
            return Err(ViewError::Precondition(what.to_owned()));
        }
        let mut mounts: Vec<(&PathBuf, Mount)> = Vec::new();
        for path in &self.write {
            fs::create_dir_all(path).map_err(StageError::io(path))?;
            mounts.push((path, host::writable(&self.real(path, rung)?, path)));
        }
        // What is not there cannot be read: the key says so too.
        for path in self.read.iter().filter(|path| path.exists() && !host::is_shown(path)) {
            mounts.push((path, host::read_only(&self.real(path, rung)?, path)));
        }
        for path in &self.socket {
            let is_socket = fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
            if is_socket {
                mounts.push((path, host::read_only(&self.real(path, rung)?, path)));
            }
        }
        // What holds another comes first, or it would cover it.
        mounts.sort_by_key(|(path, _)| path.components().count());
        Ok(mounts.into_iter().map(|(_, mount)| mount).collect())
    }

    /// What a path leads to. Where a view stands in the way it has a place for few of the host's own.
    fn real(&self, path: &Path, rung: Rung) -> Result<PathBuf, ViewError> {
        if rung < Rung::Namespaces {
            return Ok(path.to_owned());
        }
        if host::is_shown(path) || (path.starts_with("/etc") && !host::has_place(path)) {
            let what = format!("an exception cannot change what actions see at {}", path.display());
            return Err(ViewError::Precondition(what));
        }
        Ok(fs::canonicalize(path).map_err(StageError::io(path))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_the_machine_are_granted() {
        let mut granted = Granted::default();
        assert!(granted.take("vx-place", "/vx/ws:/x").is_none());
        for (name, value) in [(NETWORK, "host"), (READ, "0a:/opt/a:b"), (WRITE, "/home/me/cache"), (SOCKET, "/run/x")] {
            assert!(matches!(granted.take(name, value), Some(Ok(()))), "{name}={value}");
        }
        assert_eq!(granted.words(), ["network", "read /opt/a:b", "write /home/me/cache", "socket /run/x"]);
        assert!(granted.holds(Path::new("/opt/a:b/c")) && !granted.holds(Path::new("/opt/a")));
        for (name, value) in [
            (READ, "/opt"),
            (READ, "0a:opt"),
            (WRITE, "/"),
            (WRITE, "/vx/toolchain"),
            (SOCKET, "/proc/1/root"),
            (WRITE, "/a/../b"),
            (WRITE, ""),
        ] {
            assert!(matches!(granted.take(name, value), Some(Err(ViewError::Invalid(_)))), "{name}={value}");
        }
        assert!(granted.take(NETWORK, "all").is_none(), "and so unknown");
    }

    #[test]
    fn sockets_need_namespaces() {
        let granted = Granted { socket: vec!["/run/x".into()], ..Granted::default() };
        assert!(granted.mounts(Rung::Landlock).is_err());
        assert!(granted.mounts(Rung::Namespaces).is_ok_and(|mounts| mounts.is_empty()), "it is not there");
    }
}
