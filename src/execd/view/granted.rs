//! What exceptions of the person's vx.toml give one action beyond what actions get: read from its
//! properties, and laid into its view. Whether it is to have them the daemon has decided.

use std::{
    fs,
    os::unix::fs::FileTypeExt,
    path::{Component, Path, PathBuf},
};

use shared::{
    config::Rung,
    reapi::property::{BESIDE, NETWORK, READ, SOCKET, WRITE},
};

use super::{ViewError, live};
use crate::{
    host::{self, Names},
    sandbox::{Mount, Network},
    stage::StageError,
};

/// Where nothing of the machine's can be shown.
const OWN: [&str; 4] = ["/vx", "/proc", "/dev", "/sys"];

/// What of vx's own stands below /vx.
const VX: [&str; 11] =
    ["ws", "crates", "git", "ext", "deps", "out", "incremental", "build", "target", "toolchain", "home"];

/// What one action is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The network it sees.
    pub network: Network,
    /// Files and folders that it may read.
    pub read: Vec<PathBuf>,
    /// Files and folders beside the live checkout that it may read, by the ways from its root.
    pub beside: Vec<PathBuf>,
    /// Folders that it may write to.
    pub write: Vec<PathBuf>,
    /// Sockets that it may connect to.
    pub socket: Vec<PathBuf>,
}

impl Granted {
    /// Takes in a property; `None` where it is none of these.
    pub fn take(&mut self, name: &str, value: &str) -> Option<Result<(), ViewError>> {
        let refuse = || {
            let what = format!("the platform property {name}={value} is no place of this machine");
            Some(Err(ViewError::Invalid(what)))
        };
        let list = match (name, value) {
            (BESIDE, _) => {
                let Some(way) = beside(value) else { return refuse() };
                self.beside.push(way);
                return Some(Ok(()));
            }
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
        if !is_place(path) {
            return refuse();
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
        let beside = self.beside.iter().map(|way| ("read", way));
        let paths = paths.chain(beside);
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

/// Whether something of the machine's may be shown there.
fn is_place(path: &Path) -> bool {
    let normal = path.components().skip(1).all(|one| matches!(one, Component::Normal(_)));
    path.is_absolute() && normal && path.parent().is_some() && !OWN.iter().any(|own| path.starts_with(own))
}

/// Whether a path below /vx is vx's own, or that folder itself.
pub fn is_vxs(path: &Path) -> bool {
    let name = path.strip_prefix("/vx").ok().map(|below| below.iter().next());
    name.is_some_and(|name| name.is_none_or(|name| VX.iter().any(|one| name == *one)))
}

/// Reads `HASH:WAY`. Where it leads in the view is nobody else's.
fn beside(value: &str) -> Option<PathBuf> {
    let (_, way) = value.split_once(':')?;
    let at = live::at(Path::new(way));
    let is_free = if at.starts_with("/vx") { !is_vxs(&at) } else { is_place(&at) && !host::is_shown(&at) };
    (way.starts_with("../") && is_free).then(|| PathBuf::from(way))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_the_checkout_takes_nobodys_place() {
        for (value, is_good) in [
            ("h:../schema/x", true),
            ("h:../../proto", true),
            ("h:schema", false),
            ("h:..", false),
            ("h:../ws", false),
            ("h:../toolchain/x", false),
            ("h:../../usr/x", false),
            ("h:../../proc", false),
            ("h:/etc", false),
            ("../x", false),
        ] {
            let taken = Granted::default().take(BESIDE, value);
            assert_eq!(matches!(taken, Some(Ok(()))), is_good, "{value}");
        }
    }

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
