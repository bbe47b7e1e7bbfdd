//! execd's side of a run: hands a job to the spawner, waits for what the first process reports,
//! ends it when asked. No decision about what runs or where is made here.

use std::{
    fs::File,
    io::{self, IoSliceMut, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType,
        recvmsg, socketpair,
    },
    process::{Signal, pidfd_send_signal},
};
use tokio::{io::Interest, net::UnixDatagram};

use crate::{
    child::{Request, Spawner},
    jobserver::Pipes,
    sandbox::{
        Ended, Fail, Job, Report,
        supervise::{END, GO},
    },
};

/// How long a first process may take to sweep before it is killed itself.
const SWEEP: Duration = Duration::from_secs(5);
/// The largest report: a failed step with a path.
const REPORT_BYTES: usize = 16 << 10;

/// Why a run brought no end of its own.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A step before the program's first instruction failed.
    #[error(transparent)]
    Failed(#[from] Fail),
    /// The first process was killed, or the spawner is gone.
    #[error("the action's first process is gone without a report")]
    Lost,
    /// A system call of execd failed.
    #[error("talk to the spawner: {0}")]
    Io(#[from] io::Error),
}

/// Starts runs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Launcher {
    spawner: Arc<Spawner>,
}

/// One run in progress. Dropping it ends the run.
#[derive(Debug)]
pub struct Running {
    /// A sequenced-packet socket; tokio's type for datagrams drives it, reading is our own.
    result: UnixDatagram,
    first: Option<OwnedFd>,
    ended: bool,
    /// Where the end that hears of the payload's calls goes.
    ears: Option<mpsc::Sender<OwnedFd>>,
    pid: Arc<AtomicU32>,
}

impl Launcher {
    /// A launcher on the one spawner.
    pub fn new(spawner: Spawner) -> Self {
        Launcher { spawner: Arc::new(spawner) }
    }

    /// Starts `job` on the given standard streams, in the control group whose `cgroup.procs` is
    /// handed along, with a jobserver if it has one.
    pub fn launch(
        &self,
        job: &Job,
        streams: [BorrowedFd<'_>; 3],
        cgroup: Option<BorrowedFd<'_>>,
        jobserver: Option<&Pipes>,
    ) -> Result<Running, RunError> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(io::Error::from)?;
        let mut text = File::from(memfd_create("vx-job", MemfdFlags::CLOEXEC).map_err(io::Error::from)?);
        text.write_all(&serde_json::to_vec(job).map_err(io::Error::from)?)?;
        rustix::io::ioctl_fionbio(&ours, true).map_err(io::Error::from)?;
        let result = theirs.as_fd();
        let jobserver = jobserver.map(|pipes| [pipes.tokens.as_fd(), pipes.returned.as_fd()]);
        let (rung, network, job) = (job.rung, job.network, text.as_fd());
        let request = Request { rung, network, job, result, streams, cgroup, jobserver };
        self.spawner.request(&request).map_err(|err| match err.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => RunError::Lost,
            _ => err.into(),
        })?;
        let result = UnixDatagram::from_std(ours.into())?;
        Ok(Running { result, first: None, ended: false, ears: None, pid: Arc::default() })
    }
}

impl Running {
    /// Waits until the payload has ended and nothing of it is left. May be dropped and called
    /// again.
    pub async fn wait(&mut self) -> Result<Ended, RunError> {
        loop {
            let (report, fd) = self.next().await?;
            match (&report, fd) {
                // Where nobody listens the end is closed, and calls are answered by the kernel.
                (Some(Report::Heard), Some(listener)) => {
                    let _nobody_listens = self.ears.take().map(|ears| ears.send(listener));
                }
                (_, Some(first)) => self.began(first),
                (_, None) => {}
            }
            match report {
                Some(Report::Started | Report::Laid | Report::Heard) => {}
                Some(Report::Ended(ended)) => {
                    self.ended = true;
                    return Ok(ended);
                }
                Some(Report::Failed(fail)) => {
                    self.settle().await;
                    return Err(fail.into());
                }
                None => {
                    self.ended = true;
                    return Err(RunError::Lost);
                }
            }
        }
    }

    /// Waits for the place that the job wants watched; the payload starts with [`Running::go`].
    pub async fn laid(&mut self) -> Result<OwnedFd, RunError> {
        loop {
            match self.next().await? {
                (Some(Report::Started), Some(first)) => self.began(first),
                (Some(Report::Laid), Some(place)) => return Ok(place),
                (Some(Report::Failed(fail)), _) => {
                    self.settle().await;
                    return Err(fail.into());
                }
                _ => {
                    self.ended = true;
                    return Err(RunError::Lost);
                }
            }
        }
    }

    /// Where the end that hears of the payload's calls is to go.
    pub fn hear(&mut self, ears: mpsc::Sender<OwnedFd>) {
        self.ears = Some(ears);
    }

    /// The number of the first process, as seen from here; 0 before it has started.
    pub fn pid(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.pid)
    }

    fn began(&mut self, first: OwnedFd) {
        let number = first.as_raw_fd();
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<u32>().ok());
        self.pid.store(pid.unwrap_or(0), Ordering::Relaxed);
        self.first = Some(first);
    }

    /// Lets the payload start.
    pub fn go(&self) {
        let _gone_already = rustix::net::send(&self.result, GO, SendFlags::NOSIGNAL);
    }

    /// Ends the payload and everything below it, and waits until that is done.
    pub async fn end(&mut self) -> Result<Ended, RunError> {
        let _gone_already = rustix::net::send(&self.result, END, SendFlags::NOSIGNAL);
        match tokio::time::timeout(SWEEP, self.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.kill();
                self.wait().await
            }
        }
    }

    /// After a failed start: waits for the first process to be gone too.
    async fn settle(&mut self) {
        let gone = async { while let Ok((Some(_), _)) = self.next().await {} };
        if tokio::time::timeout(SWEEP, gone).await.is_err() {
            self.kill();
        }
        self.ended = true;
    }

    async fn next(&self) -> io::Result<(Option<Report>, Option<OwnedFd>)> {
        self.result.async_io(Interest::READABLE, || receive(&self.result)).await
    }

    fn kill(&self) {
        if let Some(first) = &self.first {
            let _gone_already = pidfd_send_signal(first, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // Closing the socket says the same; the signal is for a first process that is stuck.
            let _gone_already = rustix::net::send(&self.result, END, SendFlags::NOSIGNAL);
        }
    }
}

/// One packet: its report, or `None` when the other side is closed.
fn receive(socket: &UnixDatagram) -> io::Result<(Option<Report>, Option<OwnedFd>)> {
    let mut bytes = vec![0_u8; REPORT_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
        // The other side died with our "end" unread.
        Err(rustix::io::Errno::CONNRESET) => return Ok((None, None)),
        other => other?,
    };
    let pidfd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if got.bytes == 0 {
        return Ok((None, pidfd));
    }
    let report = serde_json::from_slice(&bytes[..got.bytes]).map_err(io::Error::from)?;
    Ok((Some(report), pidfd))
}
