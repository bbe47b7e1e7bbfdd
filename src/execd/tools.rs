//! Questions to cargo and rustc outside any Action (`cargo.run`). The kind decides the program,
//! its first words, what is shown and whether there is a network; the caller adds only words after
//! them. Paths inside are the host's own, so that what is printed makes sense to the person.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::Instant,
};

use shared::{
    client::exec::{CargoEnded, CargoKind, CargoRun, Exit},
    config::Rung,
    wire::text::Text,
};
use tonic::Code;

use crate::{
    executor::Executor,
    host::{self, Names},
    refusal::Refusal,
    sandbox::{Identity, Job, Mount, Network, Root, Status},
};

/// Where the kept target folder is seen.
const TARGET: &str = "/vx/target";
/// Only cargo reads it, and only then does a stable cargo print its graph.
const CHANNEL: (&str, &str) = ("__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS", "nightly");

/// What a kind stands for.
struct Kind {
    program: &'static str,
    words: &'static [&'static str],
    /// Whether it needs options that cargo calls unstable.
    unstable: bool,
    network: Network,
}

fn kind(kind: CargoKind) -> Kind {
    let (program, words, unstable): (_, &[&str], _) = match kind {
        CargoKind::UnitGraph => ("cargo", &["build", "--unit-graph", "-Zunstable-options"], true),
        CargoKind::CheckGraph => ("cargo", &["check", "--unit-graph", "-Zunstable-options"], true),
        CargoKind::TestGraph => ("cargo", &["test", "--unit-graph", "-Zunstable-options"], true),
        CargoKind::BenchGraph => ("cargo", &["bench", "--unit-graph", "-Zunstable-options"], true),
        CargoKind::DocGraph => ("cargo", &["doc", "--unit-graph", "-Zunstable-options"], true),
        CargoKind::Metadata => ("cargo", &["metadata", "--format-version=1"], false),
        CargoKind::Config => ("cargo", &["-Zunstable-options", "config", "get", "--format=json"], true),
        CargoKind::Probe => ("rustc", &[], false),
        CargoKind::Locate => ("cargo", &["locate-project"], false),
        CargoKind::Fetch => ("cargo", &["fetch"], false),
        CargoKind::Clean => ("cargo", &["clean"], false),
    };
    let network = if kind == CargoKind::Fetch { Network::Host } else { Network::None };
    Kind { program, words, unstable, network }
}

/// Runs one question to its end. `fds` are standard output and error.
pub async fn run(executor: &Executor, run: &CargoRun, fds: &[OwnedFd]) -> Result<CargoEnded, Refusal> {
    let [stdout, stderr] = fds else {
        return Err(Refusal::new(Code::InvalidArgument, "cargo.run takes two descriptors: standard output and error"));
    };
    check(run)?;
    let started = Instant::now();
    let fail = |what: &Path, err: io::Error| Refusal::new(Code::Internal, format!("{}: {err}", what.display()));
    let scratch = executor.sources.scratch.own().map_err(|err| fail(Path::new("a scratch folder"), err))?;
    let tmp = scratch.make("tmp").map_err(|err| fail(Path::new("/tmp"), err))?;
    let target = target(&executor.queries, run);
    fs::create_dir_all(&target).map_err(|err| fail(&target, err))?;
    let job = job(executor, run, &tmp, &target);
    let null = File::open("/dev/null").map_err(|err| fail(Path::new("/dev/null"), err))?;
    let group = executor.group().map_err(|err| fail(Path::new("a control group"), err))?;
    let procs = group.as_ref().map(|group| group.procs()).transpose();
    let procs = procs.map_err(|err| fail(Path::new("a control group"), err))?;
    let streams = [null.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let mut running = executor.launch(&job, streams, procs.as_ref().map(File::as_fd), None)?;
    let ended = running.wait().await?;
    let exit = match ended.status {
        Status::Exited(code) => Exit::Code(code),
        Status::Signalled(signal) => Exit::Signal(signal),
        Status::Killed => Exit::Signal(libc::SIGKILL),
    };
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(CargoEnded {
        exit,
        rung: job.rung.name().to_owned(),
        wall_ms: millis(started.elapsed()),
        cpu_ms: millis(ended.usage.cpu),
    })
}

/// Refuses what would make another command of it, or show more than a checkout.
fn check(run: &CargoRun) -> Result<(), Refusal> {
    let invalid = |what: String| Err(Refusal::new(Code::InvalidArgument, format!("cargo.run: {what}")));
    let all = [&run.toolchain, &run.cargo_home, &run.root, &run.cwd];
    for path in all.into_iter().chain(&run.show).chain(&run.lock).chain(&run.target) {
        let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !path.is_absolute() || !plain || path.parent().is_none() {
            return invalid(format!("{} is not an absolute path below /", path.display()));
        }
    }
    if run.lock.as_ref().is_some_and(|lock| lock.parent() != Some(&run.root)) {
        return invalid("the lock file is not in the root".to_owned());
    }
    if let Some(target) = &run.target
        && (run.kind != CargoKind::Clean || all.iter().any(|shown| *shown != &run.cwd && shown.starts_with(target)))
    {
        return invalid(format!("{} is no target folder that may be cleaned", target.display()));
    }
    let first = run.args.first().map_or("", String::as_str);
    match run.kind {
        CargoKind::Probe if first != "-" && run.args != ["-vV"] => {
            return invalid("a probe reads from standard input (-) or asks for the version (-vV)".to_owned());
        }
        CargoKind::Probe => {}
        // A word that is no option could name another command where the kind ends in one.
        CargoKind::Config => {}
        _ if !first.is_empty() && !first.starts_with('-') => return invalid(format!("{first:?} is no option")),
        _ => {}
    }
    Ok(())
}

/// A kept folder a toolchain and checkout, so that cargo asks rustc about itself once there, and
/// no checkout writes what another's answers rest on.
fn target(queries: &Path, run: &CargoRun) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for path in [&run.toolchain, &run.root] {
        hasher.update(path.as_os_str().as_encoded_bytes()).update(&[0]);
    }
    queries.join(&hasher.finalize().to_hex()[..16])
}

fn job(executor: &Executor, run: &CargoRun, tmp: &Path, target: &Path) -> Job {
    let (kind, rung) = (kind(run.kind), executor.ladder.rung);
    let isolated = rung >= Rung::Namespaces;
    let program = run.toolchain.join("bin").join(kind.program);
    let mut argv = vec![host::text(&program)];
    argv.extend(kind.words.iter().map(|&word| Text::from(word)));
    argv.extend(run.args.iter().map(|word| Text::from(word.as_str())));
    let target = if isolated { Path::new(TARGET).to_owned() } else { target.to_owned() };
    let root = if isolated { Root::Empty(host::text(&executor.sources.root)) } else { Root::Host };
    Job {
        rung,
        outside: Identity::own(),
        root,
        mounts: mounts(executor, run, tmp, &kind),
        argv,
        env: environment(run, &kind, &target, (!isolated).then_some(tmp)),
        cwd: host::text(&run.cwd),
        watched: None,
        heard: false,
        network: kind.network,
        file_bytes: 0,
        processes: 0,
    }
}

/// Only the toolchain, the host's programs and CARGO_HOME/bin can be run or loaded from: whatever
/// program or library a checkout's configuration names (`build.rustc`, `LD_PRELOAD` in `[env]`, a
/// code generator in rustflags), cargo would start it beside the answers that others rely on.
fn mounts(executor: &Executor, run: &CargoRun, tmp: &Path, kind: &Kind) -> Vec<Mount> {
    let (host, target) = (&executor.sources.host, target(&executor.queries, run));
    let isolated = executor.ladder.rung >= Rung::Namespaces;
    let mut mounts = match (isolated, kind.network) {
        (true, Network::Host) => host.mounts(Names::Network),
        (true, Network::None) => host.mounts(Names::Own),
        (false, Network::Host) => [host.rules(), host.network_rules()].concat(),
        (false, Network::None) => host.rules(),
    };
    let (tmp_at, target_at) = if isolated { (Path::new("/tmp"), Path::new(TARGET)) } else { (tmp, target.as_path()) };
    mounts.extend([Mount::Proc, Mount::Devices, Mount::Dir("/vx/home".into())]);
    mounts.push(host::writable_data(tmp, tmp_at));
    mounts.push(host::writable_data(&target, target_at));
    let mut own: Vec<(PathBuf, Show)> = run.show.iter().map(|path| (path.clone(), host::data as Show)).collect();
    own.extend([(run.cargo_home.clone(), host::data as Show), (run.root.clone(), host::data)]);
    own.push((run.cargo_home.join("bin"), host::read_only));
    if kind.network == Network::Host {
        own.extend(fetched(run).into_iter().map(|path| (path, host::writable_data as Show)));
    }
    own.extend(run.target.iter().map(|path| (path.clone(), host::writable_data as Show)));
    if run.toolchain != Path::new("/usr") {
        own.push((run.toolchain.clone(), host::read_only));
    }
    // What holds another comes first, or it would cover it.
    own.sort_by_key(|(path, _)| path.components().count());
    mounts.extend(own.into_iter().filter(|(path, _)| path.exists()).map(|(path, show)| show(&path, &path)));
    mounts.push(Mount::Dir(host::text(&run.cwd)));
    mounts
}

type Show = fn(&Path, &Path) -> Mount;

/// What `cargo fetch` writes to, and nothing else of CARGO_HOME: its `bin`, `env` and
/// configuration decide what the person's own shell runs. A lock file that is not there yet needs
/// its folder. A link is never mounted on: it would lead the write elsewhere.
fn fetched(run: &CargoRun) -> Vec<PathBuf> {
    let home = &run.cargo_home;
    let folders = ["registry", "git"].map(|name| home.join(name));
    let locks = [".package-cache", ".package-cache-mutate"].map(|name| home.join(name));
    for folder in &folders {
        let _cargo_says_what_is_wrong = fs::create_dir_all(folder);
    }
    for file in &locks {
        let _cargo_says_what_is_wrong = File::options().append(true).create(true).open(file);
    }
    let kind = |path: &Path| fs::symlink_metadata(path).map(|meta| meta.file_type());
    let lock = run.lock.as_ref().map(|lock| if kind(lock).is_ok() { lock } else { &run.root });
    let all = folders.into_iter().chain(locks).chain(lock.cloned());
    all.filter(|path| kind(path).is_ok_and(|kind| !kind.is_symlink())).collect()
}

fn environment(run: &CargoRun, kind: &Kind, target: &Path, tmp: Option<&Path>) -> Vec<(Text, Text)> {
    let bin = run.toolchain.join("bin");
    let mut env: BTreeMap<Text, Text> =
        run.env.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    let mut set = |name: &str, value: Text| drop(env.insert(name.into(), value));
    set("PATH", format!("{}:/usr/bin:/bin", bin.display()).as_str().into());
    set("HOME", "/vx/home".into());
    set("CARGO_HOME", host::text(&run.cargo_home));
    let target = match (run.kind, &run.target) {
        (CargoKind::Clean, Some(target)) => target.clone(),
        // There is nothing to clean; whether the words make sense is seen all the same.
        (CargoKind::Clean, None) => tmp.unwrap_or(Path::new("/tmp")).join("none"),
        _ => target.to_owned(),
    };
    set("CARGO_TARGET_DIR", host::text(&target));
    // Wrappers are programs of the checkout's choice; vx asks the compiler itself. An empty one would do,
    // but makes cargo forget what it asked rustc: it cannot tell when that program last changed.
    for wrapper in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        set(wrapper, "/usr/bin/env".into());
    }
    // Neither is the compiler, and where the network is, nor are flags of the compiler that can write files.
    set("RUSTC", host::text(&bin.join("rustc")));
    if kind.network == Network::Host {
        set("CARGO_ENCODED_RUSTFLAGS", "".into());
    }
    if let Some(tmp) = tmp {
        set("TMPDIR", host::text(tmp));
    }
    if kind.unstable {
        set(CHANNEL.0, CHANNEL.1.into());
    }
    if kind.network == Network::None {
        set("CARGO_NET_OFFLINE", "true".into());
    }
    env.into_iter().collect()
}
