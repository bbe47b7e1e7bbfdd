//! A live folder in a view: what is shown of it, what becomes of writes, and whose opens are seen.

use super::*;
use crate::{
    observed::Seen,
    sandbox::{Layer, Live},
    seen::Watcher,
};

/// A job that shows `folder` at /vx/ws.
fn job(room: &Room, folder: &std::path::Path, access: Access, hidden: &[&str], script: &str) -> Job {
    let mut job = room.job(Rung::Namespaces, script);
    let hidden = hidden.iter().map(|&path| path.into()).collect();
    let (from, at, made) = (host::text(folder), "/vx/ws".into(), vec![".git".into()]);
    job.mounts.push(Mount::Live(Live { from, at, access, hidden, made, layer: Layer::Own }));
    if folder.join("src").exists() {
        job.mounts.push(Mount::Again {
            from: "/vx/ws/src".into(),
            at: "/home/me/src".into(),
            access: Access::ReadOnly,
        });
    }
    job.watched = Some("/vx/ws".into());
    job
}

/// Runs it watched; what it printed and what was seen.
async fn run(room: &Room, watcher: &Watcher, folders: &[&str], job: &Job) -> (String, Seen) {
    let (running, mut reader) = room.begin(job);
    let mut running = running.expect("started");
    let place = running.laid().await.expect("a place to watch");
    let folders: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
    let watch = watcher.begin(place, &folders, &[]);
    running.go();
    let ended = running.wait().await.expect("a report");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(ended.status, Status::Exited(0), "{text}");
    (text, watch.end())
}

fn checkout(room: &Room) -> std::path::PathBuf {
    let folder = room.dir.path().join("a, checkout:with\\odd names");
    for path in ["src/a.rs", "src/b.rs", "in/deep/x", "target/debug/y", ".git", "other/z"] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, "text\n").expect("a file");
    }
    std::os::unix::fs::symlink("src/b.rs", folder.join("link")).expect("a link");
    folder
}

const FOLDERS: [&str; 5] = ["", "src", "in", "in/deep", "other"];

#[tokio::test]
async fn what_is_opened_and_listed_is_seen_and_nothing_else() {
    let (room, watcher) = (room(), Watcher::start());
    let folder = checkout(&room);
    // Somebody else reads the same files meanwhile, and so does another action.
    let script = "cd /vx/ws && cat src/a.rs link >/dev/null && ls in && test -e other/z && ! cat none && true";
    let job = job(&room, &folder, Access::ReadOnly, &["target"], script);
    let other = self::job(&room, &folder, Access::ReadOnly, &["target"], "cat /vx/ws/other/z /home/me/src/a.rs");
    let (one, two) = tokio::join!(run(&room, &watcher, &FOLDERS, &job), run(&room, &watcher, &FOLDERS, &other));
    fs::read(folder.join("in/deep/x")).expect("a file");
    let names = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!((names(&one.1.opened).as_str(), names(&one.1.listed).as_str()), ("src/a.rs src/b.rs", "in"));
    assert_eq!((names(&two.1.opened).as_str(), names(&two.1.listed).as_str()), ("other/z src/a.rs", ""));
    assert_eq!(one.1.unseen, None);
}

#[tokio::test]
async fn hidden_parts_are_not_there_and_writes_do_not_last() {
    let (room, watcher) = (room(), Watcher::start());
    let folder = checkout(&room);
    let script = "cd /vx/ws && ls -A && ls -A .git && ! cat target/debug/y && \
        echo changed >src/a.rs && echo new >made && rm other/z && cat src/a.rs made";
    let job = job(&room, &folder, Access::Writable, &["target"], script);
    let (text, _) = run(&room, &watcher, &FOLDERS, &job).await;
    assert!(text.starts_with(".git\nin\nlink\nother\nsrc\n"), "{text}");
    assert!(text.ends_with("changed\nnew\n"), "{text}");
    assert_eq!(fs::read_to_string(folder.join("src/a.rs")).expect("a file"), "text\n");
    assert!(folder.join("other/z").exists() && !folder.join("made").exists() && folder.join(".git").is_file());
    let job = self::job(&room, &folder, Access::ReadOnly, &[], "! touch /vx/ws/made && ! echo x >/vx/ws/src/a.rs");
    run(&room, &watcher, &FOLDERS, &job).await;
}

#[tokio::test]
async fn thousands_of_folders_are_watched_and_let_go() {
    let (room, watcher) = (room(), Watcher::start());
    let folder = room.dir.path().join("large");
    let names: Vec<String> = (0..2000).map(|number| format!("d{number}")).collect();
    for name in &names {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    fs::write(folder.join("d1999/x"), "x").expect("a file");
    let folders: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..3 {
        let job = job(&room, &folder, Access::ReadOnly, &[], "cat /vx/ws/d1999/x");
        let (_, seen) = run(&room, &watcher, &folders, &job).await;
        assert_eq!((seen.opened.len(), seen.unseen), (1, None));
    }
}

#[tokio::test]
async fn a_folder_with_mounts_inside_is_shown_as_it_is() {
    let (room, watcher) = (room(), Watcher::start());
    let folder = checkout(&room);
    let script = "cd /vx/ws && cat src/a.rs && test -z \"$(ls -A target)\" && test ! -s .git && ! touch made src/a.rs";
    let mut job = job(&room, &folder, Access::Writable, &["target", ".git"], script);
    for mount in &mut job.mounts {
        if let Mount::Live(live) = mount {
            (live.layer, live.made) = (Layer::Shared, Vec::new());
        }
    }
    // Another action on the same folders has the same watches, and its end must not take them away.
    let mut short = job.clone();
    short.argv[2] = "true".into();
    job.argv[2] = format!("sleep 0.5; {script}").as_str().into();
    let (long, _) = tokio::join!(run(&room, &watcher, &FOLDERS, &job), run(&room, &watcher, &FOLDERS, &short));
    let (text, seen) = long;
    assert_eq!((text.lines().next(), seen.opened.contains("src/a.rs")), (Some("text"), true));
    assert!(!folder.join("made").exists() && folder.join("target/debug/y").exists());
}
