//! A machine for one test: packaging/private-manager's namespaces with a real user manager, bus and journal, a home of its own
//! and the toolchain of this test run. Dropping it ends every process in it; nothing is left behind.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Condvar, Mutex, Once, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use super::{SERVICES, dist::sweep, dist_root, failpoint_root, top};

/// Whose machine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The superuser, as in most containers.
    Root,
    /// An ordinary user without any capability.
    Person,
    /// Another one, who is on no other test's machine: the kernel counts a user's processes over all of them, and this one
    /// uses them up.
    Greedy,
}

impl Who {
    pub fn uid(self) -> u32 {
        match self {
            Who::Root => 0,
            Who::Person => 4711,
            Who::Greedy => 4712,
        }
    }
}

/// The home of both inside their machine.
const HOME: &str = "/home/vx-tester";
/// A command that takes longer hangs, also on a machine that is slow and has other things to do.
const PATIENCE_S: u64 = 900;
/// And so does what is waited for.
const UNTIL: Duration = Duration::from_secs(300);

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Runs a command to its end.
    fn of(command: &mut Command) -> Done {
        let output = command.output().expect("nsenter can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Done { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Its standard output, where it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.stderr, self.stdout);
        self.stdout
    }
}

pub struct Machine {
    who: Who,
    folder: tempfile::TempDir,
    manager: Child,
    /// Its first process, as seen from here.
    init: u32,
    _room: Room,
}

/// Machines at once. The kernel counts a user's inotify instances over all of them, and as many as there are cores would
/// be too many on a large host.
const MACHINES: usize = 8;
static FREE: (Mutex<usize>, Condvar) = (Mutex::new(MACHINES), Condvar::new());

/// Room for one.
struct Room;

impl Room {
    fn wait_for() -> Room {
        let free = FREE.0.lock().unwrap_or_else(PoisonError::into_inner);
        *FREE.1.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner) -= 1;
        Room
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *FREE.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        FREE.1.notify_one();
    }
}

impl Machine {
    /// Starts one; fails the test where that is not possible, for a skipped test proves nothing.
    #[track_caller]
    pub fn start(who: Who) -> Machine {
        Machine::start_from(who, dist_root())
    }

    #[track_caller]
    fn start_from(who: Who, root: &Path) -> Machine {
        assert!(rustix::process::getuid().is_root(), "system tests make machines of their own and need root");
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep(&std::env::temp_dir(), "vx-machine-"));
        let room = Room::wait_for();
        let prefix = format!("vx-machine-{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a folder for the machine");
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("a home");
        for path in [folder.path(), &home] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a folder that its person can reach");
        }
        chown(&home, Some(who.uid()), Some(who.uid())).expect("a home of its person's own");
        let name = if who == Who::Root { "root" } else { "vx-tester" };
        let bind = |from: &Path, to: &str| format!("{}:{to}", from.display());
        let mut command = Command::new(top().join("packaging/private-manager"));
        command.args(["--as", &format!("{0}:{0}:{name}:{HOME}", who.uid())]);
        for pair in [
            bind(&home, HOME),
            bind(sysroot(), "/run/kit/toolchain"),
            bind(root, "/run/kit/dist-root"),
            bind(&top().join("packaging"), "/run/kit/packaging"),
        ] {
            command.args(["--bind", &pair]);
        }
        // It lives for as long as its standard input is open, so it ends even when this process is killed.
        let mut manager = command
            .args(["--", "sh", "-c", "echo $VX_MACHINE_PID; exec cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("packaging/private-manager can be started");
        let mut line = String::new();
        let stdout = manager.stdout.take().expect("a pipe was asked for");
        BufReader::new(stdout).read_line(&mut line).expect("the machine says that it is up");
        let Ok(init) = line.trim().parse() else {
            let mut why = String::new();
            drop(manager.stderr.take().map(|mut pipe| pipe.read_to_string(&mut why)));
            panic!("no user manager could be started: {why}");
        };
        Machine { who, folder, manager, init, _room: room }
    }

    /// One with vx installed and its sockets up.
    #[track_caller]
    pub fn with_vx(who: Who) -> Machine {
        let machine = Machine::start(who);
        machine.install(&[]).ok();
        machine
    }

    /// The same with programs that die at failpoints, which are armed by files in the folder `points` of the home.
    #[track_caller]
    pub fn with_failpoints(who: Who) -> Machine {
        let machine = Machine::start_from(who, failpoint_root());
        machine.write(machine.home().join("points/.keep"), "");
        for service in &SERVICES {
            let text = format!("[Service]\nEnvironment=VX_FAILPOINTS={HOME}/points\n");
            machine.write(
                machine.home().join(format!(".config/systemd/user/{}.service.d/points.conf", service.unit)),
                text,
            );
        }
        machine.install(&[]).ok();
        machine
    }

    /// Runs packaging/install with more words.
    pub fn install(&self, words: &[&str]) -> Done {
        self.run([&["/run/kit/packaging/install", "--from", "/run/kit/dist-root"], words].concat())
    }

    /// The home of its person, as the machine sees it.
    pub fn home(&self) -> &'static Path {
        Path::new(HOME)
    }

    /// Where a path of the machine lies for this process.
    pub fn outside(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        match inside.strip_prefix(HOME) {
            Ok(below) => self.folder.path().join("home").join(below),
            Err(_) => PathBuf::from(format!("/proc/{}/root{}", self.init, inside.display())),
        }
    }

    /// Writes a file of its person's; folders on the way are made.
    pub fn write(&self, inside: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.outside(&inside);
        let mut missing = Vec::new();
        let mut folder = path.parent().expect("a file lies in a folder");
        while !folder.exists() {
            missing.push(folder.to_owned());
            folder = folder.parent().expect("the root exists");
        }
        for folder in missing.iter().rev() {
            fs::create_dir(folder).expect("a folder in the machine");
            chown(folder, Some(self.who.uid()), Some(self.who.uid())).expect("its person's folder");
        }
        fs::write(&path, text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        chown(&path, Some(self.who.uid()), Some(self.who.uid())).expect("its person's file");
    }

    /// A command of its person's, to be spawned in a folder of the machine.
    pub fn command_in<I, S>(&self, folder: &Path, words: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let uid = self.who.uid();
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--mount", "--ipc", "--pid", "--cgroup", "--"]);
        // Into the cgroup of a login session, then to the person, with an environment like theirs.
        command.args(["sh", "-c", "echo 0 >\"$1/cgroup.procs\"; shift; exec \"$@\"", "sh"]);
        command.arg(format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/session-1.scope"));
        command.args(["setpriv", "--reuid", &uid.to_string(), "--regid", &uid.to_string(), "--clear-groups"]);
        command.args(["env", "-i", "-C"]).arg(folder);
        command.args([
            format!("HOME={HOME}"),
            format!("USER={}", if self.who == Who::Root { "root" } else { "vx-tester" }),
            format!("XDG_RUNTIME_DIR=/run/user/{uid}"),
            format!("DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus"),
            format!("PATH={HOME}/.local/bin:/run/kit/toolchain/bin:/usr/local/bin:/usr/bin:/bin"),
            "LANG=C.UTF-8".to_owned(),
        ]);
        command.args(["timeout", "--foreground", "-k", "5", &PATIENCE_S.to_string()]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command of its person's to its end, in the home folder.
    pub fn run<I, S>(&self, words: I) -> Done
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.run_in(self.home(), words)
    }

    /// The same in a folder of the machine.
    pub fn run_in<I, S>(&self, folder: &Path, words: I) -> Done
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        Done::of(&mut self.command_in(folder, words))
    }

    /// Runs a command in the machine as its administrator, who is not its person.
    pub fn run_as_root(&self, words: &[&str]) -> Done {
        let init = self.init.to_string();
        Done::of(
            Command::new("nsenter")
                .args(["--target", &init, "--mount", "--ipc", "--pid", "--cgroup", "--"])
                .args(words),
        )
    }

    /// Runs a line of shell as its person.
    pub fn sh(&self, line: &str) -> Done {
        self.run(["sh", "-c", line])
    }

    /// One property of a unit, as the manager says it.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.run(["systemctl", "--user", "show", "--value", "--property", name, unit]).ok().trim().to_owned()
    }

    /// Waits until `true` comes back.
    #[track_caller]
    pub fn until(&self, what: &str, mut is: impl FnMut(&Machine) -> bool) {
        let end = Instant::now() + UNTIL;
        while !is(self) {
            assert!(Instant::now() < end, "still not after {UNTIL:?}: {what}\n{}", self.journal());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the services logged, for the text of a failed assertion.
    pub fn journal(&self) -> String {
        self.run(["journalctl", "--user", "--no-pager", "-o", "short-monotonic", "-n", "60"]).stdout
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.manager.stdin.take());
        let ended = self.manager.wait();
        if !std::thread::panicking() {
            assert!(ended.is_ok(), "the machine did not end: {ended:?}");
            let cgroup = format!("vx-private-{}", self.manager.id());
            for tree in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
                assert!(!Path::new(tree).join(&cgroup).exists(), "{tree}/{cgroup} was left behind");
            }
        }
    }
}

/// The toolchain that runs these tests.
pub fn sysroot() -> &'static Path {
    static SYSROOT: OnceLock<PathBuf> = OnceLock::new();
    SYSROOT.get_or_init(|| {
        let output = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc can be started");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}
