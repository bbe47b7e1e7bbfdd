//! Where everything lies, and the only file that reads environment variables. It creates
//! nothing; whoever owns a folder makes it.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::PathBuf,
};

/// The three services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// vx-daemon.
    Daemon,
    /// vx-casd.
    Cas,
    /// vx-execd.
    Exec,
}

impl Service {
    /// All of them, in the order status shows them.
    pub const ALL: [Service; 3] = [Service::Daemon, Service::Cas, Service::Exec];

    /// The short name, which also names its sockets.
    pub fn name(self) -> &'static str {
        match self {
            Service::Daemon => "daemon",
            Service::Cas => "cas",
            Service::Exec => "exec",
        }
    }

    /// The program's file name.
    pub fn program(self) -> &'static str {
        match self {
            Service::Daemon => "vx-daemon",
            Service::Cas => "vx-casd",
            Service::Exec => "vx-execd",
        }
    }

    /// The stem of its units: `vx` → vx.socket, vx.service.
    pub fn unit(self) -> &'static str {
        match self {
            Service::Daemon => "vx",
            Service::Cas => "vx-casd",
            Service::Exec => "vx-execd",
        }
    }

    /// Its label as a launchd agent.
    pub fn label(self) -> &'static str {
        match self {
            Service::Daemon => "build.vx.daemon",
            Service::Cas => "build.vx.casd",
            Service::Exec => "build.vx.execd",
        }
    }

    /// Its well-known name on the session bus.
    pub fn bus_name(self) -> &'static str {
        match self {
            Service::Daemon => "build.vx.Daemon1",
            Service::Cas => "build.vx.Cas1",
            Service::Exec => "build.vx.Exec1",
        }
    }

    /// Its object path on the bus.
    pub fn object_path(self) -> &'static str {
        match self {
            Service::Daemon => "/build/vx/Daemon1",
            Service::Cas => "/build/vx/Cas1",
            Service::Exec => "/build/vx/Exec1",
        }
    }

    /// `$XDG_RUNTIME_DIR/vx/NAME.sock`.
    pub fn socket(self) -> Option<PathBuf> {
        Some(runtime_dir()?.join(format!("{}.sock", self.name())))
    }

    /// `$XDG_RUNTIME_DIR/vx/NAME.control.sock`.
    pub fn control_socket(self) -> Option<PathBuf> {
        Some(runtime_dir()?.join(format!("{}.control.sock", self.name())))
    }
}

/// What an init system that tells a service's sockets apart by name calls them.
pub const SOCKET_NAMES: [&str; 2] = ["listener", "control"];

/// The folder of vx's sockets: `$XDG_RUNTIME_DIR/vx`, else `/run/user/UID/vx` where that folder
/// is ours and private (su, cron and CI leave the variable unset). On macOS, which has neither,
/// `~/Library/Caches/vx`.
pub fn runtime_dir() -> Option<PathBuf> {
    if let Some(dir) = absolute("XDG_RUNTIME_DIR") {
        return Some(dir.join("vx"));
    }
    if cfg!(target_os = "macos") {
        return Some(home()?.join("Library/Caches/vx"));
    }
    let uid = rustix::process::getuid().as_raw();
    let dir = PathBuf::from(format!("/run/user/{uid}"));
    let meta = fs::metadata(&dir).ok()?;
    (meta.uid() == uid && meta.mode() & 0o077 == 0).then(|| dir.join("vx"))
}

/// `$XDG_CONFIG_HOME/vx/vx.toml`.
pub fn config_file() -> Option<PathBuf> {
    Some(xdg("XDG_CONFIG_HOME", ".config")?.join("vx/vx.toml"))
}

/// A service's folder for what can be made again: `$XDG_CACHE_HOME/vx/NAME`.
pub fn cache_dir(service: Service) -> Option<PathBuf> {
    Some(xdg("XDG_CACHE_HOME", ".cache")?.join("vx").join(service.name()))
}

/// A service's folder for what cannot be made again and may be lost: `$XDG_STATE_HOME/vx/NAME`.
pub fn state_dir(service: Service) -> Option<PathBuf> {
    Some(xdg("XDG_STATE_HOME", ".local/state")?.join("vx").join(service.name()))
}

/// The folders of `PATH`, in order.
pub fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// The person's home folder.
pub fn home() -> Option<PathBuf> {
    absolute("HOME")
}

/// The address of the session bus, where there is one.
pub fn session_bus() -> Option<OsString> {
    if let Some(address) = env::var_os("DBUS_SESSION_BUS_ADDRESS") {
        return Some(address);
    }
    let bus = runtime_dir()?.parent()?.join("bus");
    bus.exists().then(|| {
        let mut address = OsString::from("unix:path=");
        address.push(bus);
        address
    })
}

/// What `VX_LOG` asks the log to show (a tracing filter), if set.
pub fn log_filter() -> Option<String> {
    env::var("VX_LOG").ok()
}

/// The folder of armed failpoints (see `failpoint`).
pub fn failpoints() -> Option<PathBuf> {
    absolute("VX_FAILPOINTS")
}

/// Device and inode that journald's stream has, as `JOURNAL_STREAM` says it.
pub fn journal_stream() -> Option<(u64, u64)> {
    let text = env::var("JOURNAL_STREAM").ok()?;
    let (device, inode) = text.split_once(':')?;
    Some((device.parse().ok()?, inode.parse().ok()?))
}

/// The whole environment, as the client hands it over; names and values as bytes.
pub fn environment() -> Vec<(Vec<u8>, Vec<u8>)> {
    env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect()
}

/// A folder from an XDG variable, else below home. Relative values are ignored, as the XDG base
/// directory specification says.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    absolute(variable).or_else(|| Some(home()?.join(below_home)))
}

fn absolute(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(variable)?);
    path.is_absolute().then_some(path)
}
