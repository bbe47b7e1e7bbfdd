//! Which rung this machine allows, found out once at start by real children that go through the
//! whole sequence and run a program. What is not reached is named with its reason, never in silence.

use std::{
    fs::File,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Duration,
};

use shared::config::Rung;

use super::{Fail, Identity, Job, Mount, Network, Root, Status, Step, cgroup::Delegation, confine};
use crate::{
    host::{self, Host, Names},
    launch::{Launcher, RunError},
};

/// A probe that takes longer has met something that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// The highest rung that works here.
    pub rung: Rung,
    /// Every higher rung, with what stands in its way.
    pub missed: Vec<(Rung, String)>,
}

/// Probes from the top down.
pub async fn ladder(launcher: &Launcher, host: &Host, root: &Path, delegation: &Result<Delegation, String>) -> Ladder {
    let mut missed = Vec::new();
    for rung in [Rung::Full, Rung::Namespaces, Rung::Landlock] {
        match reaches(rung, launcher, host, root, delegation).await {
            Ok(()) => return Ladder { rung, missed },
            Err(why) => missed.push((rung, why)),
        }
    }
    Ladder { rung: Rung::Process, missed }
}

async fn reaches(
    rung: Rung,
    launcher: &Launcher,
    host: &Host,
    root: &Path,
    delegation: &Result<Delegation, String>,
) -> Result<(), String> {
    confine::offered(rung)?;
    let group = if rung == Rung::Full {
        let delegation = delegation.as_ref().map_err(Clone::clone)?;
        Some(delegation.group(None).map_err(|err| format!("make a control group: {err}"))?)
    } else {
        None
    };
    let procs = group.as_ref().map(|group| group.procs().map_err(|err| format!("join a control group: {err}")));
    let procs = procs.transpose()?;
    let job = job(rung, host, root);
    let null = File::options().read(true).write(true).open("/dev/null").map_err(|err| format!("/dev/null: {err}"))?;
    let run = async {
        let mut running = launcher.launch(&job, [null.as_fd(); 3], procs.as_ref().map(File::as_fd), None)?;
        running.wait().await
    };
    match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(ended)) if ended.status == Status::Exited(0) => Ok(()),
        Ok(Ok(ended)) => Err(format!("a program run in it ended with {:?}", ended.status)),
        Ok(Err(RunError::Failed(fail))) => Err(explain(&fail)),
        Ok(Err(err)) => Err(err.to_string()),
        Err(_) => Err(format!("a program run in it did not end within {} s", PATIENCE.as_secs())),
    }
}

fn job(rung: Rung, host: &Host, root: &Path) -> Job {
    let isolated = rung >= Rung::Namespaces;
    let mut mounts = if isolated { host.mounts(Names::Own) } else { host.rules() };
    if isolated {
        mounts.extend([Mount::Proc, Mount::Devices]);
    }
    let program = ["/bin/true", "/usr/bin/true"].into_iter().find(|path| Path::new(path).exists());
    let argv = match program {
        Some(path) => vec![path.into()],
        None => vec!["/bin/sh".into(), "-c".into(), ":".into()],
    };
    let root = if isolated { Root::Empty(host::text(&PathBuf::from(root))) } else { Root::Host };
    let (env, cwd, outside) = (Vec::new(), "/".into(), Identity::own());
    Job {
        rung,
        outside,
        root,
        mounts,
        argv,
        env,
        cwd,
        watched: None,
        heard: false,
        network: Network::None,
        file_bytes: 0,
        processes: 0,
    }
}

/// The system's answer in the words of whoever has to change something.
fn explain(fail: &Fail) -> String {
    let cure = match (fail.step, fail.errno) {
        (Step::Clone, libc::ENOSPC) => "user namespaces are used up or off: sysctl user.max_user_namespaces",
        (Step::Clone, libc::EPERM) => {
            "user namespaces are refused: sysctl kernel.unprivileged_userns_clone=1, or a container's seccomp profile"
        }
        (Step::Identity | Step::Mount, libc::EPERM | libc::EACCES) => {
            "user namespaces are made without rights: sysctl kernel.apparmor_restrict_unprivileged_userns=0 or a profile"
        }
        (Step::Mount, libc::ENOSYS) => "the kernel is older than Linux 5.12",
        _ => return fail.to_string(),
    };
    format!("{fail} ({cure})")
}
