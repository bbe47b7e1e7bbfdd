//! The control plane against itself: both ends over a real socket, and over a bus where asked.

use std::{
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

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

/// Counts guards alive.
fn counting() -> (Busy, Arc<AtomicUsize>) {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let shared = count.clone();
    let busy: Busy = Arc::new(move || {
        shared.fetch_add(1, Ordering::SeqCst);
        Box::new(Guard(shared.clone()))
    });
    (busy, count)
}

async fn asks_everything(remote: Remote) {
    let report = remote.report().await.expect("a report");
    assert_eq!(report.pid, std::process::id());
    assert_eq!(report.version, env!("CARGO_PKG_VERSION"));
    assert!(report.started_usec > 1_700_000_000_000_000, "{}", report.started_usec);
    let expected: BTreeMap<String, Value> =
        Pretend.status().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    assert_eq!(report.status, expected);
    match remote.reload().await {
        Err(ControlError::ConfigInvalid(e)) => assert_eq!(e, broken()),
        other => panic!("expected the configuration's error, got {other:?}"),
    }
}

#[tokio::test]
async fn answers_on_the_control_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cas.control.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let (busy, count) = counting();
    let serving = serve(Service::Cas, Arc::new(Pretend), Some(listener), busy).await.expect("serve");
    let remote = Remote::on_socket(&path, Service::Cas).await.expect("connect");
    assert_eq!(count.load(Ordering::SeqCst), 1, "an open connection keeps the service");
    asks_everything(remote).await;
    for _ in 0..100 {
        if count.load(Ordering::SeqCst) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "a closed connection lets it go");

    // What speaks no D-Bus is dropped, and the next one is served.
    let mut noise = std::os::unix::net::UnixStream::connect(&path).expect("connect");
    std::io::Write::write_all(&mut noise, b"GET / HTTP/1.1\r\n\r\n").expect("write");
    drop(noise);
    assert!(Remote::on_socket(&path, Service::Cas).await.is_ok());

    drop(serving);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(matches!(Remote::on_socket(&path, Service::Cas).await, Err(ControlError::Connect(_))));
}

#[tokio::test]
async fn more_connections_than_the_limit_are_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("exec.control.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let (busy, _) = counting();
    let _serving = serve(Service::Exec, Arc::new(Pretend), Some(listener), busy).await.expect("serve");
    let mut open = Vec::new();
    for _ in 0..CONTROL_CONNECTIONS {
        open.push(Remote::on_socket(&path, Service::Exec).await.expect("within the limit"));
    }
    assert!(Remote::on_socket(&path, Service::Exec).await.is_err());
    drop(open);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(Remote::on_socket(&path, Service::Exec).await.is_ok(), "room again");
}

#[tokio::test]
#[ignore = "wants a session bus of its own: dbus-run-session -- cargo test --lib -- --ignored"]
async fn answers_on_the_session_bus() {
    let bus = session_bus().await.expect("the bus answers").expect("there is a bus");
    assert!(matches!(Remote::on_bus(&bus, Service::Daemon).await, Err(ControlError::NotOnBus)));
    let (busy, count) = counting();
    let serving = serve(Service::Daemon, Arc::new(Pretend), None, busy.clone()).await.expect("serve");
    asks_everything(Remote::on_bus(&bus, Service::Daemon).await.expect("it is on the bus")).await;
    assert_eq!(count.load(Ordering::SeqCst), 0);
    // The second of one name serves on, without the name.
    let second = serve(Service::Daemon, Arc::new(Pretend), None, busy).await.expect("serve");
    drop(second);
    asks_everything(Remote::on_bus(&bus, Service::Daemon).await.expect("still the first")).await;
    drop(serving);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(matches!(Remote::on_bus(&bus, Service::Daemon).await, Err(ControlError::NotOnBus)));
}
