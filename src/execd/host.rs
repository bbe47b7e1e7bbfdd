//! What an action sees of the host: its programs and libraries and a minimal /etc, read-only.
//! Nothing of a home, of /run, of anybody's sockets or of the configuration of the machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::wire::text::Text;

use crate::sandbox::{Access, Mount};

/// Folders of programs and libraries, where the host has them.
pub const SHOWN: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// What of the host's /etc is needed to run its programs: the loader's cache and the links by
/// which Debian chooses `cc` among compilers.
const SHOWN_ETC: &[&str] = &["ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"];
/// What the network needs on top, for `cargo fetch` alone.
const SHOWN_ETC_NETWORK: &[&str] = &["resolv.conf", "hosts", "nsswitch.conf", "ssl", "ca-certificates", "pki"];

/// What of /etc is made for actions.
pub const MADE_ETC: [&str; 4] = ["passwd", "group", "hosts", "nsswitch.conf"];

const PASSWD: &str = "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nvx:x:1000:1000:vx:/vx/home:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nvx:x:1000:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1 localhost vx\n::1 localhost vx\n";
/// With `dns`, though nobody answers: who looks a name up is heard.
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// The generated /etc, made once at start.
#[derive(Clone, Debug)]
pub struct Host {
    etc: PathBuf,
    /// What vx.toml shows beside the folders of programs.
    show: Arc<Mutex<Vec<PathBuf>>>,
}

/// Whose /etc is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Only the action itself has a name.
    Own,
    /// Name look-ups and certificates are the host's.
    Network,
}

impl Host {
    /// Writes the minimal /etc into `dir`.
    pub fn prepare(dir: &Path) -> io::Result<Host> {
        let host = Host { etc: dir.to_owned(), show: Arc::default() };
        fs::create_dir_all(dir)?;
        for (name, text) in MADE_ETC.into_iter().zip([PASSWD, GROUP, HOSTS, NSSWITCH]) {
            fs::write(dir.join(name), text)?;
        }
        // Read-only once it is shown, so the places to mount on are made here.
        for name in SHOWN_ETC.iter().chain(SHOWN_ETC_NETWORK) {
            let (of_host, place) = (Path::new("/etc").join(name), dir.join(name));
            if of_host.is_dir() {
                fs::create_dir_all(&place)?;
            } else if of_host.is_file() && !place.exists() {
                fs::write(&place, "")?;
            }
        }
        Ok(host)
    }

    /// Shows these too, instead of those shown before.
    pub fn show(&self, folders: Vec<PathBuf>) {
        *self.shown() = folders;
    }

    fn shown(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.show.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same without a view: places that may be read where they are.
    pub fn rules(&self) -> Vec<Mount> {
        let folders = SHOWN.iter().map(PathBuf::from).chain(self.shown().clone());
        let places = folders.chain(SHOWN_ETC.iter().map(|name| Path::new("/etc").join(name)));
        places.filter(|path| path.exists()).map(|path| read_only(&path, &path)).collect()
    }

    /// Of the host's /etc what the network needs, for `cargo fetch` alone.
    pub fn network_rules(&self) -> Vec<Mount> {
        let places = SHOWN_ETC_NETWORK.iter().map(|name| Path::new("/etc").join(name));
        places.filter_map(|path| fs::canonicalize(path).ok()).map(|path| read_only(&path, &path)).collect()
    }

    /// The mounts that show it.
    pub fn mounts(&self, names: Names) -> Vec<Mount> {
        let mut mounts: Vec<_> = SHOWN.iter().filter_map(|dir| shown(Path::new(dir))).collect();
        mounts.push(read_only(&self.etc, Path::new("/etc")));
        let network: &[&str] = if names == Names::Network { SHOWN_ETC_NETWORK } else { &[] };
        for name in SHOWN_ETC.iter().chain(network) {
            let (of_host, place) = (Path::new("/etc").join(name), self.etc.join(name));
            if of_host.exists() && place.exists() {
                // Resolved here: resolv.conf is often a link into /run, which is not shown.
                let of_host = fs::canonicalize(&of_host).unwrap_or(of_host);
                mounts.push(read_only(&of_host, &Path::new("/etc").join(name)));
            }
        }
        let further = self.shown().clone().into_iter().filter(|path| !is_shown(path));
        // Resolved: its parents need not be what they are outside.
        mounts.extend(further.filter_map(|path| Some(read_only(&fs::canonicalize(&path).ok()?, &path))));
        mounts
    }
}

/// Whether a path lies in the folders of programs and libraries.
pub fn is_shown(path: &Path) -> bool {
    SHOWN.iter().any(|folder| path.starts_with(folder))
}

/// Whether something can be mounted there: of /etc only what may be shown of the host's.
pub fn has_place(path: &Path) -> bool {
    SHOWN_ETC.iter().chain(SHOWN_ETC_NETWORK).any(|name| path == Path::new("/etc").join(name))
}

/// A read-only bind.
pub fn read_only(from: &Path, at: &Path) -> Mount {
    Mount::Bind { from: text(from), at: text(at), access: Access::ReadOnly }
}

/// A writable bind of an action's own folder.
pub fn writable(from: &Path, at: &Path) -> Mount {
    Mount::Bind { from: text(from), at: text(at), access: Access::Writable }
}

/// A read-only bind of what a checkout or an archive brought: nothing in it can be run or loaded.
pub fn data(from: &Path, at: &Path) -> Mount {
    Mount::Bind { from: text(from), at: text(at), access: Access::Data }
}

/// The same, writable.
pub fn writable_data(from: &Path, at: &Path) -> Mount {
    Mount::Bind { from: text(from), at: text(at), access: Access::WritableData }
}

/// A path as the job carries it.
pub fn text(path: &Path) -> Text {
    Text::from(path.as_os_str().to_owned())
}

/// A folder of the host as it is there: most of these are links into /usr today.
fn shown(dir: &Path) -> Option<Mount> {
    let metadata = fs::symlink_metadata(dir).ok()?;
    if metadata.is_symlink() {
        return Some(Mount::Link { at: text(dir), to: text(&fs::read_link(dir).ok()?) });
    }
    metadata.is_dir().then(|| read_only(dir, dir))
}
