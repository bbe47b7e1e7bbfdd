//! The control plane against itself: both ends over a real socket, and over a bus where asked.

use std::{
    collections::BTreeMap,
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::{limits::CONTROL_CONNECTIONS, paths::Service};

/// A service that counts what holds it busy and refuses every reload.
struct Pretend;

impl Controlled for Pretend {
    fn status(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("state", "serving".into()),
            ("sessions", 2.into()),
            ("ratio", Value::F64(0.5)),
            ("warm", Value::Bool(true)),
            ("note", Value::List(vec!["one".into(), "two".into()])),
            ("none", Value::List(vec![])),
        ]
    }

    fn reload(&self) -> Result<(), ConfigError> {
        Err(broken())
    }
}

fn broken() -> ConfigError {
    ConfigError {
        file: PathBuf::from("/home/p/.config/vx/vx.toml"),
        line: 3,
        column: 7,
        message: "unknown field `slotz`".into(),
        hint: Some("did you mean `slots`?".into()),
    }
}

/// A shell that counts who attends and who asked for a drain.
#[derive(Default)]
struct PretendShell {
    attending: Arc<AtomicUsize>,
    drains: AtomicUsize,
    level: Mutex<String>,
}

impl Shell for PretendShell {
    fn attend(&self) -> Box<dyn Any + Send> {
        struct Guard(Arc<AtomicUsize>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.attending.fetch_add(1, Ordering::SeqCst);
        Box::new(Guard(self.attending.clone()))
    }

    fn drain(&self) {
        self.drains.fetch_add(1, Ordering::SeqCst);
    }

    fn log(&self) -> &dyn Log {
        self
    }
}

impl Log for PretendShell {
    fn level(&self) -> String {
        self.level.lock().expect("no panic").clone()
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        if level == "loud" {
            return Err("loud is no level".into());
        }
        level.clone_into(&mut self.level.lock().expect("no panic"));
        Ok(())
    }

    fn target(&self) -> String {
        "console".into()
    }

    fn set_target(&self, _: &str) -> Result<(), String> {
        Err("no other target".into())
    }

    fn identifier(&self) -> String {
        "pretend".into()
    }

    fn lines(&self, after: u64, most: usize) -> Vec<LogLine> {
        let line = |number| LogLine { number, usec: 7, priority: 6, text: format!("line {number}") };
        let newer: Vec<u64> = (after + 1..=3).collect();
        newer[newer.len() - newer.len().min(most)..].iter().copied().map(line).collect()
    }

    fn dropped(&self) -> u64 {
        5
    }
}

/// A shell, and what counts who attends.
fn counting() -> (Arc<PretendShell>, Arc<AtomicUsize>) {
    let shell = Arc::new(PretendShell::default());
    let count = shell.attending.clone();
    (shell, count)
}

/// Waits for what the other side does in its own time.
async fn until(what: &str, is: impl AsyncFn() -> bool) {
    for _ in 0..3000 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still not: {what}");
}

async fn asks_everything(remote: Remote) {
    let report = remote.report().await.expect("a report");
    assert_eq!(report.pid, std::process::id());
    assert_eq!(report.version, env!("CARGO_PKG_VERSION"));
    assert!(report.started_usec > 1_700_000_000_000_000, "{}", report.started_usec);
    let mut expected: BTreeMap<String, Value> =
        Pretend.status().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    expected.insert("log_dropped".into(), Value::U64(5));
    assert_eq!(report.status, expected);
    match remote.reload().await {
        Err(ControlError::ConfigInvalid(e)) => assert_eq!(e, broken()),
        other => panic!("expected the configuration's error, got {other:?}"),
    }
    let lines = remote.log(0, 2).await.expect("lines");
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["line 2", "line 3"]);
    assert_eq!(remote.log(3, 2).await.expect("lines"), []);
    remote.set_log_level("debug").await.expect("a level");
    assert_eq!(remote.log_level().await.expect("a level"), "debug");
    match remote.set_log_level("loud").await {
        Err(ControlError::Protocol(text)) => assert_eq!(text, "loud is no level"),
        other => panic!("expected a refusal, got {other:?}"),
    }
    remote.drain().await.expect("it is told");
}

#[tokio::test]
async fn answers_on_the_control_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cas.control.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let (shell, count) = counting();
    let serving = serve(Service::Cas, Arc::new(Pretend), Some(listener), shell).await.expect("serve");
    let remote = Remote::on_socket(&path, Service::Cas).await.expect("connect");
    assert_eq!(count.load(Ordering::SeqCst), 1, "an open connection keeps the service");
    asks_everything(remote).await;
    until("a closed connection lets it go", async || count.load(Ordering::SeqCst) == 0).await;

    // What speaks no D-Bus is dropped, and the next one is served.
    let mut noise = std::os::unix::net::UnixStream::connect(&path).expect("connect");
    std::io::Write::write_all(&mut noise, b"GET / HTTP/1.1\r\n\r\n").expect("write");
    drop(noise);
    assert!(Remote::on_socket(&path, Service::Cas).await.is_ok());

    drop(serving);
    let is_gone = async || matches!(Remote::on_socket(&path, Service::Cas).await, Err(ControlError::Connect(_)));
    until("nobody listens any more", is_gone).await;
}

#[tokio::test]
async fn more_connections_than_the_limit_are_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("exec.control.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let (shell, _) = counting();
    let _serving = serve(Service::Exec, Arc::new(Pretend), Some(listener), shell).await.expect("serve");
    let mut open = Vec::new();
    for _ in 0..CONTROL_CONNECTIONS {
        open.push(Remote::on_socket(&path, Service::Exec).await.expect("within the limit"));
    }
    assert!(Remote::on_socket(&path, Service::Exec).await.is_err());
    drop(open);
    until("room again", async || Remote::on_socket(&path, Service::Exec).await.is_ok()).await;
}

#[tokio::test]
#[ignore = "wants a session bus of its own: dbus-run-session -- cargo test --lib -- --ignored"]
async fn answers_on_the_session_bus() {
    let bus = session_bus().await.expect("the bus answers").expect("there is a bus");
    assert!(matches!(Remote::on_bus(&bus, Service::Daemon).await, Err(ControlError::NotOnBus)));
    let (shell, count) = counting();
    let serving = serve(Service::Daemon, Arc::new(Pretend), None, shell.clone()).await.expect("serve");
    asks_everything(Remote::on_bus(&bus, Service::Daemon).await.expect("it is on the bus")).await;
    assert_eq!(count.load(Ordering::SeqCst), 0);
    // The second of one name serves on, without the name.
    let second = serve(Service::Daemon, Arc::new(Pretend), None, shell).await.expect("serve");
    drop(second);
    asks_everything(Remote::on_bus(&bus, Service::Daemon).await.expect("still the first")).await;
    drop(serving);
    let is_gone = async || matches!(Remote::on_bus(&bus, Service::Daemon).await, Err(ControlError::NotOnBus));
    until("its name is free", is_gone).await;
}

/// What packaging/install puts beside the interfaces of other programs.
#[test]
fn the_interfaces_are_published_as_they_are() {
    use zbus::object_server::Interface;

    let (shell, controlled): (Arc<dyn Shell>, Arc<dyn Controlled>) =
        (Arc::new(PretendShell::default()), Arc::new(Pretend));
    let control = interface::Control1 { controlled: controlled.clone(), shell: shell.clone(), started_usec: 0 };
    let mut control1 = String::new();
    control.introspect_to_writer(&mut control1, 2);
    let mut store1 = String::new();
    interface::Store1 { controlled, shell }.introspect_to_writer(&mut store1, 2);
    for (name, text) in [("build.vx.Control1", control1), ("build.vx.Store1", store1)] {
        let file = PathBuf::from(format!("{}/packaging/dbus-interfaces/{name}.xml", env!("CARGO_MANIFEST_DIR")));
        let head = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
                    \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n";
        let text = format!("{head}<node>\n{text}</node>\n");
        if std::fs::read_to_string(&file).ok().as_ref() != Some(&text) {
            let new = std::env::temp_dir().join(format!("{name}.xml"));
            std::fs::write(&new, &text).expect("write");
            panic!("{} is stale; the right one is {}", file.display(), new.display());
        }
    }
}
