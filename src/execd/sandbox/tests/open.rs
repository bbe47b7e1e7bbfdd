//! A person's own program: what it is not kept from, and what signals do to it.

use std::{io::BufRead, time::Duration};

use super::*;

fn job(room: &Room, script: &str) -> Job {
    Job {
        root: Root::Open { umask: Some(0o027) },
        network: Network::Host,
        file_bytes: 0,
        ..room.job(Rung::Process, script)
    }
}

#[tokio::test]
async fn nothing_is_taken_from_a_persons_program() {
    let room = room();
    let script =
        format!("umask; cat {}; grep NoNewPrivs /proc/self/status", room.dir.path().join("secret/key").display());
    let (ended, text) = room.run(&job(&room, &script)).await;
    assert_eq!(ended.expect("it ran").status, Status::Exited(0));
    let own = fs::read_to_string("/proc/self/status").expect("this process");
    let own = own.lines().find(|line| line.starts_with("NoNewPrivs")).expect("a kernel of this decade");
    assert_eq!(text, format!("0027\nsecret{own}\n"));
}

#[tokio::test]
async fn a_program_gets_signals_and_goes_on_after_a_stop() {
    let room = room();
    // The shell waits in its own group, so both get the signal, and its trap runs when the sleep has ended.
    let (running, reader) =
        room.begin(&job(&room, "exec 2>/dev/null; trap 'echo got it; exit 4' USR1; echo ready; sleep 60"));
    let mut running = running.expect("it starts");
    let mut lines = std::io::BufReader::new(reader).lines();
    let waiting = tokio::task::spawn_blocking(move || (lines.next(), lines));
    let (ready, mut lines) = waiting.await.expect("it says so");
    assert_eq!(ready.expect("a line").expect("text"), "ready");
    running.signal(libc::SIGTSTP as u8);
    let stopped = tokio::time::timeout(Duration::from_millis(200), running.wait()).await;
    assert!(stopped.is_err(), "a stopped program has not ended: {stopped:?}");
    running.signal(libc::SIGUSR1 as u8);
    running.signal(libc::SIGCONT as u8);
    assert_eq!(running.wait().await.expect("it ran").status, Status::Exited(4));
    assert_eq!(lines.next().expect("a line").expect("text"), "got it");
}

#[tokio::test]
async fn what_a_program_leaves_running_goes_on_and_what_is_cancelled_does_not() {
    let room = room();
    let (ended, text) = room.run(&job(&room, "sleep 60 >/dev/null 2>&1 & echo $!")).await;
    assert_eq!(ended.expect("it ran").status, Status::Exited(0));
    let pid = nix::unistd::Pid::from_raw(text.trim().parse().expect("a number"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it is there");
    let (running, reader) = room.begin(&job(&room, "echo $$; sleep 60; echo no"));
    let mut running = running.expect("it starts");
    let first = tokio::task::spawn_blocking(move || {
        let mut lines = std::io::BufReader::new(reader).lines();
        (lines.next().expect("a line").expect("text"), lines)
    });
    let (_, mut lines) = first.await.expect("it says its number");
    assert_eq!(running.end().await.expect("it ran").status, Status::Killed);
    assert!(lines.next().is_none(), "its sleep went on");
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let room = room();
    let job = Job { argv: vec!["./nothing".into()], ..job(&room, "") };
    let (ended, _) = room.run(&job).await;
    match ended {
        Err(RunError::Failed(fail)) => assert_eq!((fail.step, fail.errno), (Step::Program, libc::ENOENT)),
        other => panic!("{other:?}"),
    }
}
