//! Real processes in the real sandbox: what the promise in SANDBOX.md says, one test a promise.

mod live;
mod open;

use std::{
    fs::{self, File},
    io::Read,
    os::fd::AsFd,
    path::Path,
    time::Duration,
};

use shared::config::Rung;

use super::*;
use crate::{
    child::Spawner,
    host::{self, Host, Names},
    launch::{Launcher, RunError, Running},
};

struct Room {
    launcher: Launcher,
    dir: tempfile::TempDir,
    host: Host,
}

fn room() -> Room {
    let launcher = Launcher::new(Spawner::start().expect("fork"));
    let dir = tempfile::tempdir().expect("a temporary folder");
    for name in ["root", "etc", "out", "secret"] {
        fs::create_dir(dir.path().join(name)).expect("an empty folder");
    }
    fs::write(dir.path().join("secret/key"), "secret").expect("a file");
    let host = Host::prepare(&dir.path().join("etc")).expect("a minimal /etc");
    Room { launcher, dir, host }
}

impl Room {
    fn job(&self, rung: Rung, script: &str) -> Job {
        let mut job = Job {
            rung,
            outside: Identity::own(),
            root: Root::Host,
            mounts: Vec::new(),
            argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: "/".into(),
            watched: None,
            heard: false,
            network: Network::None,
            file_bytes: 1 << 20,
            processes: 0,
        };
        if rung >= Rung::Namespaces {
            job.root = Root::Empty(host::text(&self.dir.path().join("root")));
            job.mounts = self.host.mounts(Names::Own);
            job.mounts.extend([Mount::Proc, Mount::Devices]);
            job.mounts.push(host::writable(&self.dir.path().join("out"), Path::new("/vx/out")));
            job.mounts.push(Mount::Memory { at: "/tmp".into(), bytes: 1 << 20 });
            job.cwd = "/vx/out".into();
        }
        job
    }

    fn begin(&self, job: &Job) -> (Result<Running, RunError>, std::io::PipeReader) {
        let null = File::open("/dev/null").expect("/dev/null");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        (self.launcher.launch(job, [null.as_fd(), writer.as_fd(), writer.as_fd()], None, None), reader)
    }

    async fn run(&self, job: &Job) -> (Result<Ended, RunError>, String) {
        let (running, mut reader) = self.begin(job);
        let ended = match running {
            Ok(mut running) => running.wait().await,
            Err(err) => Err(err),
        };
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        (ended, text)
    }

    /// What a script printed; it must have exited with 0.
    async fn says(&self, rung: Rung, script: &str) -> String {
        let (ended, text) = self.run(&self.job(rung, script)).await;
        assert_eq!(ended.expect(script).status, Status::Exited(0), "{script}: {text}");
        text
    }
}

#[tokio::test]
async fn the_view_holds_only_what_the_job_names() {
    let room = room();
    let names = room.says(Rung::Namespaces, "ls -A / /vx /vx/out /tmp; id -u; id -g; hostname; echo $$ $HOME").await;
    for name in ["root\n", "home\n", "run\n", "work\n", "mnt\n"] {
        assert!(!names.contains(&format!("\n{name}")), "{name} in {names}");
    }
    assert!(names.ends_with("1000\n1000\nvx\n2\n"), "{names}");
    assert_eq!(room.says(Rung::Namespaces, "cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '").await, "lo\n");
}

#[tokio::test]
async fn undeclared_files_are_not_there() {
    let room = room();
    let path = room.dir.path().join("secret/key");
    let script = format!("cat {} ~/.ssh/id_rsa /etc/shadow /root/.bashrc /proc/1/environ || exit 3", path.display());
    let (ended, text) = room.run(&room.job(Rung::Namespaces, &script)).await;
    assert_eq!(ended.expect("it ran").status, Status::Exited(3));
    assert!(!text.contains("secret\n") && text.matches("No such file").count() >= 4, "{text}");
}

#[tokio::test]
async fn nothing_can_be_written_but_what_is_granted() {
    let room = room();
    for path in ["/x", "/vx/x", "/usr/x", "/etc/x", "/dev/x", "/bin/x", "/proc/sys/kernel/hostname"] {
        let (ended, text) = room.run(&room.job(Rung::Namespaces, &format!("echo >{path}"))).await;
        assert_ne!(ended.expect("it ran").status, Status::Exited(0), "{path}: {text}");
    }
    room.says(Rung::Namespaces, "echo a >/vx/out/a && echo b >/tmp/b && echo >/dev/null && echo >/dev/shm/x").await;
    assert_eq!(fs::read_to_string(room.dir.path().join("out/a")).expect("it was written"), "a\n");
}

#[tokio::test]
async fn the_hosts_devices_keep_their_modes() {
    use std::os::unix::fs::MetadataExt;

    let room = room();
    let before = fs::metadata("/dev/null").expect("/dev/null");
    let script = "chmod 600 /dev/null; touch -d 2001-01-01 /dev/null; echo x >/dev/null && head -c 1 /dev/zero | wc -c";
    let text = room.says(Rung::Namespaces, script).await;
    assert!(text.ends_with("1\n"), "{text}");
    let after = fs::metadata("/dev/null").expect("/dev/null");
    assert_eq!((after.mode(), after.mtime() > 1_000_000_000), (before.mode(), true));
}

#[tokio::test]
async fn data_is_neither_run_nor_loaded() {
    let room = room();
    let folder = room.dir.path().join("data");
    fs::create_dir(&folder).expect("an empty folder");
    fs::copy("/usr/bin/true", folder.join("program")).expect("a program");
    for access in [Access::Data, Access::WritableData] {
        let at = "/data".into();
        let script = "cat /data/program >/dev/null && ! /data/program && ! /lib*/ld-linux* /data/program && \
            ! /lib*/*/ld-linux* /data/program && echo >/data/new; test -e /data/new && echo written; exit 0";
        let mut job = room.job(Rung::Namespaces, script);
        job.mounts.push(Mount::Bind { from: host::text(&folder), at, access });
        let (ended, text) = room.run(&job).await;
        assert_eq!(ended.expect("it ran").status, Status::Exited(0));
        assert_eq!(text.ends_with("written\n"), access == Access::WritableData, "{text}");
    }
}

#[tokio::test]
async fn families_that_no_namespace_cuts_are_refused() {
    let room = room();
    for (family, name) in [(libc::AF_VSOCK, "vsock"), (libc::AF_ALG, "alg"), (libc::AF_BLUETOOTH, "bluetooth")] {
        let script = format!("perl -e 'socket(my $s, {family}, 1, 0) or die $!' 2>&1; true");
        let text = room.says(Rung::Namespaces, &script).await;
        assert!(text.starts_with("Operation not permitted"), "{name}: {text}");
    }
    room.says(Rung::Namespaces, "perl -e 'for (1, 2, 10) { socket(my $s, $_, 1, 0) or die $! }'").await;
}

#[tokio::test]
async fn calls_that_widen_the_kernel_are_refused() {
    let room = room();
    for script in ["unshare -U true", "unshare -m true", "mount -t tmpfs x /tmp", "nsenter -t 1 -m true"] {
        let (ended, text) = room.run(&room.job(Rung::Namespaces, script)).await;
        assert_ne!(ended.expect("it ran").status, Status::Exited(0), "{script}: {text}");
    }
    let text = room.says(Rung::Namespaces, "grep -E '^(Cap(Prm|Eff)|NoNewPrivs|Seccomp):' /proc/self/status").await;
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>().join(" "),
        "CapPrm: 0000000000000000 CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2"
    );
}

#[tokio::test]
async fn no_process_outlives_its_action() {
    for rung in [Rung::Namespaces, Rung::Process] {
        let (room, nap) = (room(), nap(3601));
        let script =
            format!("setsid sh -c 'sleep {nap} & sleep {nap}' >/dev/null & (sleep {nap} &) ; sleep 0.1; echo done");
        let text = tokio::time::timeout(Duration::from_secs(120), room.says(rung, &script)).await;
        assert_eq!(text.expect("it ends with its first process"), "done\n");
        assert_eq!(sleepers(&nap), 0, "{rung:?}");
    }
}

#[tokio::test]
async fn ending_a_run_ends_everything() {
    for rung in [Rung::Namespaces, Rung::Process] {
        let (room, nap) = (room(), nap(62));
        let script = format!("sleep {nap} & setsid sleep {nap} & trap '' TERM INT; while :; do sleep 0.01; done");
        let job = room.job(rung, &script);
        let (running, _reader) = room.begin(&job);
        let mut running = running.expect("started");
        assert!(tokio::time::timeout(Duration::from_millis(200), running.wait()).await.is_err());
        assert_eq!(running.end().await.expect("a report").status, Status::Killed);
        assert_eq!(sleepers(&nap), 0, "{rung:?}");
    }
}

#[tokio::test]
async fn dropping_a_run_ends_it() {
    let (room, nap) = (room(), nap(63));
    let (running, mut reader) = room.begin(&room.job(Rung::Namespaces, &format!("sleep {nap}")));
    drop(running);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("the pipe closes with the last process");
    assert_eq!(sleepers(&nap), 0);
}

#[tokio::test]
async fn root_too_has_a_limit_of_processes() {
    let (room, nap) = (room(), nap(64));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
    let mut version = release.split('.').map_while(|part| part.parse::<u32>().ok());
    let is_there = (version.next(), version.next()) >= (Some(6), Some(14)) || !rustix::process::getuid().is_root();
    let script = format!("n=0; while [ $n -lt 600 ]; do sleep {nap} & n=$((n+1)); done 2>/dev/null; echo all");
    let mut job = room.job(Rung::Namespaces, &script);
    job.processes = 64;
    let (ended, text) = room.run(&job).await;
    assert!(ended.is_ok());
    assert_eq!(text.contains("all"), !is_there, "{text}");
    assert_eq!(sleepers(&nap), 0);
}

#[tokio::test]
async fn memory_of_all_processes_together_is_watched() {
    let room = room();
    let eater = "perl -e 'my $x = q(x) x (60 << 20); sleep 65' & ";
    let job = room.job(Rung::Namespaces, &format!("{eater}{eater}wait"));
    let (running, _reader) = room.begin(&job);
    let mut running = running.expect("started");
    let pid = running.pid();
    tokio::select! {
        ended = running.wait() => panic!("it ended by itself: {ended:?}"),
        over = crate::memory::exceeded(pid, 100 << 20, 64) => assert_eq!(over, crate::observed::Over::Memory),
    }
    assert_eq!(running.end().await.expect("a report").status, Status::Killed);
}

#[tokio::test]
async fn processes_are_counted_where_the_kernel_lets_them_be() {
    let (room, nap) = (room(), nap(66));
    let job = room.job(Rung::Namespaces, &format!("for n in $(seq 80); do sleep {nap} & done; wait"));
    let (running, _reader) = room.begin(&job);
    let mut running = running.expect("started");
    let pid = running.pid();
    tokio::select! {
        ended = running.wait() => panic!("it ended by itself: {ended:?}"),
        over = crate::memory::exceeded(pid, u64::MAX, 64) => assert_eq!(over, crate::observed::Over::Processes),
    }
    running.end().await.expect("a report");
    assert_eq!(sleepers(&nap), 0);
}

#[tokio::test]
async fn a_missing_program_or_folder_is_named() {
    let room = room();
    let mut job = room.job(Rung::Namespaces, "");
    job.argv = vec!["no-such-program".into()];
    let (ended, _) = room.run(&job).await;
    assert!(
        matches!(&ended, Err(RunError::Failed(fail)) if fail.step == Step::Program && fail.errno == libc::ENOENT),
        "{ended:?}"
    );
    let mut job = room.job(Rung::Namespaces, "");
    job.cwd = "/no/such".into();
    let (ended, _) = room.run(&job).await;
    assert!(matches!(&ended, Err(RunError::Failed(fail)) if fail.step == Step::WorkingDirectory), "{ended:?}");
}

#[tokio::test]
async fn the_process_rung_has_a_clean_environment() {
    let room = room();
    let text = room.says(Rung::Process, "env | grep -vE '^(PWD|SHLVL|_|OLDPWD)='; ls /proc/self/fd | wc -l").await;
    assert_eq!(text, "PATH=/usr/bin:/bin\n4\n");
}

#[tokio::test]
async fn a_signal_and_its_cost_are_reported() {
    let room = room();
    let (ended, _) =
        room.run(&room.job(Rung::Namespaces, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; kill -SEGV $$")).await;
    let ended = ended.expect("it ran");
    assert_eq!(ended.status, Status::Signalled(libc::SIGSEGV));
    assert!(ended.usage.cpu > Duration::from_millis(5) && ended.usage.max_rss_bytes > 0, "{ended:?}");
}

#[tokio::test]
async fn a_link_in_a_private_root_leads_nowhere_outside() {
    let room = room();
    let root = room.dir.path().join("private");
    fs::create_dir(&root).expect("an empty folder");
    std::os::unix::fs::symlink("/proc", root.join("proc")).expect("a link");
    let mut job = room.job(Rung::Namespaces, "true");
    job.root = Root::Private(host::text(&root));
    job.mounts = vec![Mount::Proc];
    let (ended, _) = room.run(&job).await;
    assert!(matches!(&ended, Err(RunError::Failed(fail)) if fail.step == Step::Mount), "{ended:?}");
}

/// Some more than so many seconds, as no other run of the tests on this machine has them.
fn nap(seconds: u32) -> String {
    format!("{seconds}.{:010}1", std::process::id())
}

/// How many `sleep` processes with this argument are alive.
fn sleepers(argument: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|&b| b == 0).any(|word| word == argument.as_bytes())).count()
}
