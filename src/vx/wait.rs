//! The conversation with the daemon until the exit code. A daemon that was restarted in between is
//! asked again, under the same run name, when it said that the run may be repeated.

use std::{
    io::{self, PipeReader, Read},
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};
use shared::{
    fault::{Failure, Fault, exit},
    limits,
    wire::{
        call,
        fds::{Line, Receiver, send},
        session::{FromDaemon, Signal, Start},
    },
};

use crate::{
    connect::{Refusal, connect},
    signals,
};

/// Looks for an answer before the first sleep, some tens of microseconds: to be woken takes longer.
const EAGER_LOOKS: u32 = 100;

/// How one connection ended.
enum End {
    Exit(u8),
    Lost { again: bool },
}

/// Hands the run over and waits for its exit code.
pub fn until_exit(mut stream: UnixStream, start: &Start) -> Result<u8, Refusal> {
    let mut signals = None;
    let line = start.line();
    let mut restarts = 0;
    loop {
        match converse(&stream, &line, &mut signals)? {
            End::Exit(code) => return Ok(code),
            End::Lost { again: true } if restarts < limits::RESTARTS => restarts += 1,
            End::Lost { .. } => {
                let failure = Failure::new(Fault::Peer, "the daemon went away; this run is not repeated")
                    .hint("journalctl --user -u vx tells why");
                return Err((exit::FAILED, failure));
            }
        }
        stream = connect_again()?;
    }
}

/// The init system starts the daemon again on this connect; without one somebody may do so soon.
fn connect_again() -> Result<UnixStream, Refusal> {
    let until = Instant::now() + limits::CONNECT_WAIT;
    loop {
        match connect() {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            other => return other,
        }
    }
}

fn converse(stream: &UnixStream, start: &[u8], caught: &mut Option<PipeReader>) -> Result<End, Refusal> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    if send(stream, start, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]).is_err() {
        return Ok(End::Lost { again: true });
    }
    stream.set_nonblocking(true).map_err(|err| own_failure(&err))?;
    let mut receiver = Receiver::default();
    // What is answered at once is there before a sleep would have begun.
    for _ in 0..EAGER_LOOKS {
        match receiver.fill(stream.as_fd()) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
            _ => break,
        }
    }
    let mut again = true;
    let mut interrupted = false;
    loop {
        while let Some(line) = receiver.line() {
            if let Some(code) = read(&line, &mut again)? {
                return Ok(End::Exit(code));
            }
        }
        // Not before: until here a signal may simply end this program, which cancels the run too.
        let signals = match caught {
            Some(signals) => signals,
            None => caught.insert(signals::catch().map_err(|err| own_failure(&err))?),
        };
        let mut ready = [PollFd::new(stream, PollFlags::IN), PollFd::new(&*signals, PollFlags::IN)];
        match poll(&mut ready, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.map_err(|err| own_failure(&err.into()))?,
        };
        let (from_daemon, from_signals) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
        if from_signals {
            let mut byte = [0];
            signals.read_exact(&mut byte).map_err(|err| own_failure(&err))?;
            let number = i32::from(byte[0]);
            // Who interrupts twice does not want to wait for an orderly end; a program of the
            // person's own decides for itself what an interrupt means.
            if interrupted && again && number == libc::SIGINT {
                return Ok(End::Exit(exit::INTERRUPTED));
            }
            interrupted |= signals::ends(number);
            if send(stream, &Signal { sig: number }.line(), &[]).is_err() {
                return Ok(lost(again, interrupted));
            }
            if number == libc::SIGTSTP {
                signals::stop();
            }
        }
        if from_daemon {
            match receiver.fill(stream.as_fd()) {
                Ok(1..) => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Ok(lost(again, interrupted)),
            }
        }
    }
}

/// A run that was interrupted is over when the daemon is.
fn lost(again: bool, interrupted: bool) -> End {
    if interrupted { End::Exit(exit::INTERRUPTED) } else { End::Lost { again } }
}

/// One line of the daemon: `Some` is the exit code.
fn read(line: &Line, again: &mut bool) -> Result<Option<u8>, Refusal> {
    let garbled = |err: serde_json::Error| {
        let failure = Failure::new(Fault::Peer, format!("the daemon speaks another protocol: {err}"))
            .hint("install vx and vx-daemon of one version");
        (exit::PROTOCOL, failure)
    };
    let message: FromDaemon = serde_json::from_slice(&line.bytes).map_err(garbled)?;
    if let Some(accepted) = message.params {
        *again = accepted.repeat;
    }
    if let Some(error) = message.error {
        let code = match error.code {
            call::VERSION => exit::PROTOCOL,
            call::BUSY => exit::UNREACHABLE,
            call::CONFIG_INVALID => exit::CONFIG,
            _ => exit::FAILED,
        };
        return Err((code, error.into()));
    }
    Ok(message.result.map(|ended| ended.exit))
}

fn own_failure(err: &io::Error) -> Refusal {
    (exit::FAILED, Failure::new(Fault::Environment, err.to_string()))
}
