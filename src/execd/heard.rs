//! What an action tried to reach and did not get: files of the person outside its view, sockets,
//! the network. Its opens and connects are told to a thread here before they are made, which looks
//! and lets each go on. It never decides; what is refused is refused by the view and its filters.

mod programs;

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use shared::{
    config::Rung,
    limits,
    reapi::record::{Attempt, GRANTED},
};

use crate::{
    host,
    observed::Heard,
    sandbox::{
        Mount, Network,
        notify::{self, Call},
    },
    view::{
        View,
        granted::{self, Granted},
        live,
    },
};

/// The home that actions are given.
const HOME: &str = "/vx/home";
/// Below these nobody's things are, or what is there is the action's own.
const OWN: [&str; 6] = ["/proc", "/dev", "/tmp", "/vx", "/sys", "/usr"];
/// Which every program of a C library asks for by itself.
const NOISE: [&str; 4] = ["/run/nscd", "/var/run/nscd", "/run/systemd/userdb", "/dev/log"];
const PAGE: u64 = 4096;

/// A thread that listens to one action.
#[derive(Debug)]
pub struct Ears {
    heard: Arc<Mutex<Heard>>,
    /// Where the action's end of it goes, when it has one.
    listener: mpsc::Sender<OwnedFd>,
}

/// What decides whether a path is in the view.
struct Scene {
    shown: Vec<PathBuf>,
    /// The action's own home, and the person's.
    home: PathBuf,
    real_home: Option<PathBuf>,
    granted: Granted,
    /// Where the live checkout in it is the person's.
    live: Option<PathBuf>,
    refusal: &'static str,
    known: HashSet<Vec<u8>>,
    calls: usize,
    heard: Arc<Mutex<Heard>>,
}

impl Ears {
    /// Begins to listen; `None` where nothing is refused.
    pub fn open(view: &View, rung: Rung) -> Option<Ears> {
        if rung < Rung::Landlock {
            return None;
        }
        let heard = Arc::new(Mutex::new(Heard::default()));
        let isolated = rung >= Rung::Namespaces;
        let shown = view.mounts.iter().filter_map(|mount| match mount {
            Mount::Bind { at, .. } | Mount::Link { at, .. } | Mount::Again { at, .. } | Mount::Memory { at, .. } => {
                Some(PathBuf::from(at.as_os()))
            }
            Mount::Live(live) => Some(PathBuf::from(live.at.as_os())),
            Mount::Dir(_) | Mount::Proc | Mount::Devices => None,
        });
        let home = PathBuf::from(view.words.real(HOME));
        let own = OWN.iter().map(PathBuf::from).filter(|path| isolated || !path.starts_with("/tmp"));
        let etc = host::MADE_ETC.iter().filter(|_| isolated).map(|name| Path::new("/etc").join(name));
        let scene = Scene {
            shown: shown.filter(|path| *path != home && path != Path::new("/etc")).chain(own).chain(etc).collect(),
            home,
            real_home: shared::paths::home(),
            granted: view.granted.clone(),
            live: view.live.as_ref().map(|live| live.asked.root.clone()),
            refusal: if isolated { "ENOENT" } else { "EACCES" },
            known: HashSet::new(),
            calls: 0,
            heard: Arc::clone(&heard),
        };
        let (listener, arrival) = mpsc::channel();
        let listen = move || {
            if let Ok(listener) = arrival.recv() {
                scene.listen(&listener);
            }
        };
        let started = std::thread::Builder::new().name("vx-execd-heard".to_owned()).spawn(listen);
        started.is_ok().then_some(Ears { heard, listener })
    }

    /// Where the action's end of it goes, when it has one.
    pub fn listener(&self) -> mpsc::Sender<OwnedFd> {
        self.listener.clone()
    }

    /// After the last of its processes: what it tried.
    pub fn end(self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Scene {
    /// Answers until no process of the action is left.
    fn listen(mut self, listener: &OwnedFd) {
        notify::answer_nearby(listener.as_fd());
        loop {
            let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            let _interrupted = poll(&mut fds, PollTimeout::NONE);
            match fds[0].revents() {
                Some(events) if events.contains(PollFlags::POLLIN) => {}
                Some(events) if events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) => {
                    return;
                }
                _ => continue,
            }
            let Ok(call) = notify::receive(listener.as_fd()) else { continue };
            // Programs always: a key would lack them. There are few.
            if [libc::SYS_execve, libc::SYS_execveat].contains(&call.number) {
                self.attempt(&call);
                notify::go_on(listener.as_fd(), &call);
                continue;
            }
            self.calls += 1;
            if self.calls <= limits::HEARD_CALLS {
                if let Some(attempt) = self.attempt(&call)
                    && notify::is_valid(listener.as_fd(), &call)
                {
                    self.keep(attempt);
                }
            } else if self.calls == limits::HEARD_CALLS + 1 {
                self.lack(format!("it made more than {} calls", limits::HEARD_CALLS));
            }
            notify::go_on(listener.as_fd(), &call);
        }
    }

    fn keep(&mut self, attempt: Attempt) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.tried.contains(&attempt) {
            return;
        }
        if heard.tried.len() < limits::HEARD_ATTEMPTS {
            heard.tried.push(attempt);
        } else {
            heard.unheard.get_or_insert_with(|| format!("it tried more than {} things", limits::HEARD_ATTEMPTS));
        }
    }

    fn lack(&self, why: String) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).unheard.get_or_insert(why);
    }

    /// What of a call is worth telling.
    fn attempt(&mut self, call: &Call) -> Option<Attempt> {
        let [first, second, third, _, fifth, sixth] = call.arguments;
        match call.number {
            libc::SYS_openat => self.open(call.pid, first as i32, second, kind(third)),
            libc::SYS_openat2 => self.open(call.pid, first as i32, second, "open"),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => self.open(call.pid, libc::AT_FDCWD, first, kind(second)),
            libc::SYS_execve => self.run(call.pid, libc::AT_FDCWD, first),
            libc::SYS_execveat => self.run(call.pid, first as i32, second),
            libc::SYS_connect => connect(call.pid, second, third, &self.granted),
            libc::SYS_sendto => connect(call.pid, fifth, sixth, &self.granted),
            _ => None,
        }
    }

    /// A program of the host counts, also one that is not there: it may be, the next time. It is no
    /// attempt at anything.
    fn run(&mut self, pid: u32, folder: i32, address: u64) -> Option<Attempt> {
        let mut buffer = [0_u8; PAGE as usize];
        let named = Path::new(OsStr::from_bytes(text(pid, address, &mut buffer)?));
        let path = absolute(pid, folder, named)?;
        for tool in programs::of(&path) {
            let Some(tool) = tool.to_str().filter(|tool| !tool.contains('\n')) else { continue };
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.tools.len() < limits::TOOLS {
                heard.tools.insert(tool.to_owned());
            } else {
                heard.unheard.get_or_insert_with(|| format!("it ran more than {} programs", limits::TOOLS));
            }
        }
        None
    }

    fn open(&mut self, pid: u32, folder: i32, address: u64, kind: &str) -> Option<Attempt> {
        let mut buffer = [0_u8; PAGE as usize];
        let path = text(pid, address, &mut buffer)?;
        let leads_out = path.starts_with(b"/") || path.windows(2).any(|two| two == b"..");
        if !leads_out || self.known.contains(path) {
            return None;
        }
        let named = Path::new(OsStr::from_bytes(path));
        let absolute = if named.is_absolute() {
            if self.known.len() < limits::HEARD_CALLS {
                self.known.insert(path.to_vec());
            }
            plain(named)
        } else {
            absolute(pid, folder, named)?
        };
        if self.granted.holds(&absolute) {
            let what = self.named(&absolute);
            return Some(Attempt { kind: kind.to_owned(), what, answer: GRANTED.to_owned() });
        }
        let what = self.outside(&absolute)?;
        Some(Attempt { kind: kind.to_owned(), what, answer: self.refusal.to_owned() })
    }

    /// A path as its person writes it.
    fn named(&self, path: &Path) -> String {
        match self.real_home.as_ref().and_then(|home| path.strip_prefix(home).ok()) {
            Some(below) => format!("~/{}", below.display()),
            None => path.display().to_string(),
        }
    }

    /// The path as its person knows it, where it is there and not in the view.
    fn outside(&self, path: &Path) -> Option<String> {
        let there = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_dir());
        let at_home = |below: &Path| format!("~/{}", below.display());
        if let Ok(below) = path.strip_prefix(&self.home) {
            let real = self.real_home.as_ref()?.join(below);
            return there(&real).then(|| at_home(below));
        }
        if let Some(real) = self.beside(path) {
            return Some(self.named(&real));
        }
        if self.shown.iter().any(|shown| path.starts_with(shown)) || NOISE.iter().any(|noise| path.starts_with(noise)) {
            return None;
        }
        match self.real_home.as_ref().and_then(|home| path.strip_prefix(home).ok()) {
            // A folder of the home too: who lists it looks for something.
            Some(below) => fs::symlink_metadata(path).is_ok().then(|| at_home(below)),
            None => there(path).then(|| path.display().to_string()),
        }
    }
}

impl Scene {
    /// What lies beside the live checkout, where a way out of it leads in the view: to the folder
    /// above its mount, and further up to the root.
    fn beside(&self, path: &Path) -> Option<PathBuf> {
        let root = self.live.as_ref()?;
        let real = match path.strip_prefix(Path::new(live::AT).parent()?) {
            Ok(_) if granted::is_vxs(path) => return None,
            Ok(below) => root.parent()?.join(below),
            Err(_) if self.shown.iter().any(|shown| path.starts_with(shown)) => return None,
            Err(_) => {
                let below = path.strip_prefix("/").ok()?;
                root.ancestors().skip(2).map(|above| above.join(below)).find(|real| real.exists())?
            }
        };
        let is_shown = self.granted.beside.iter().any(|way| path.starts_with(live::at(way)));
        (!is_shown && fs::symlink_metadata(&real).is_ok()).then_some(real)
    }
}

/// What an open's flags make of it.
fn kind(flags: u64) -> &'static str {
    if flags & libc::O_ACCMODE as u64 == libc::O_RDONLY as u64 { "open" } else { "write" }
}

/// A path as a process means it.
fn absolute(pid: u32, folder: i32, named: &Path) -> Option<PathBuf> {
    let base = match folder {
        _ if named.is_absolute() => return Some(plain(named)),
        libc::AT_FDCWD => format!("/proc/{pid}/cwd"),
        folder => format!("/proc/{pid}/fd/{folder}"),
    };
    Some(plain(&fs::read_link(base).ok()?.join(named)))
}

/// A connect to anybody but the C library's usual helpers.
fn connect(pid: u32, address: u64, length: u64, granted: &Granted) -> Option<Attempt> {
    let mut bytes = [0_u8; 128];
    let length = usize::try_from(length).ok()?.min(bytes.len());
    let read = notify::memory(pid, address, &mut bytes[..length]).ok()?;
    let bytes = &bytes[..read];
    let (family, rest) = bytes.split_at_checked(2)?;
    let number = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    let network = if granted.network == Network::Host { GRANTED } else { "ENETUNREACH" };
    let (what, answer) = match i32::from(u16::from_ne_bytes([family[0], family[1]])) {
        libc::AF_INET => {
            let host: [u8; 4] = rest.get(2..6)?.try_into().ok()?;
            (SocketAddr::from((Ipv4Addr::from(host), number(0)?)).to_string(), network)
        }
        libc::AF_INET6 => {
            let host: [u8; 16] = rest.get(6..22)?.try_into().ok()?;
            (SocketAddr::from((Ipv6Addr::from(host), number(0)?)).to_string(), network)
        }
        libc::AF_UNIX => {
            let (mark, name) = match rest.split_first()? {
                (0, name) => ("@", name),
                _ => ("", rest),
            };
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let name = format!("{mark}{}", String::from_utf8_lossy(name));
            if NOISE.iter().any(|noise| name.starts_with(noise)) {
                return None;
            }
            let answer = match mark {
                "" if granted.holds(Path::new(&name)) => GRANTED,
                "" => "ENOENT",
                _ => "ECONNREFUSED",
            };
            (name, answer)
        }
        _ => return None,
    };
    Some(Attempt { kind: "connect".to_owned(), what, answer: answer.to_owned() })
}

/// A string of another process, page by page: the next one need not be there.
fn text(pid: u32, address: u64, buffer: &mut [u8; PAGE as usize]) -> Option<&[u8]> {
    let mut length = 0;
    while length < buffer.len() {
        let at = address.checked_add(length as u64)?;
        let room = usize::try_from(PAGE - at % PAGE).ok()?.min(buffer.len() - length);
        let read = notify::memory(pid, at, &mut buffer[length..length + room]).ok()?;
        if let Some(end) = buffer[length..length + read].iter().position(|byte| *byte == 0) {
            return Some(&buffer[..length + end]);
        }
        length += read;
        if read == 0 {
            return None;
        }
    }
    None
}

/// `.` and `..` resolved by the text alone.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}
