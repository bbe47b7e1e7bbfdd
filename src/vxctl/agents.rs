//! launchd's agents for the three services, from one source: `vxctl agents` and packaging/launchd
//! (which packaging/install fills in) both come from here. No Mac has run them.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use shared::{
    fault::exit,
    paths::{self, Service},
};

use crate::print;

/// A property list as launchd.plist(5) describes it, as far as it is used.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    label: &'static str,
    program_arguments: [String; 1],
    sockets: Sockets,
    keep_alive: KeepAlive,
    process_type: &'static str,
    exit_time_out: u32,
    soft_resource_limits: Limits,
    environment_variables: Variables,
    standard_error_path: String,
}

/// The names are `SOCKET_NAMES`.
#[derive(Debug, Serialize)]
struct Sockets {
    listener: Socket,
    control: Socket,
}

#[derive(Debug, Serialize)]
struct Socket {
    #[serde(rename = "SockFamily")]
    family: &'static str,
    #[serde(rename = "SockType")]
    kind: &'static str,
    #[serde(rename = "SockPathName")]
    path: String,
    #[serde(rename = "SockPathMode")]
    mode: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeepAlive {
    successful_exit: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Limits {
    number_of_files: u32,
}

#[derive(Debug, Serialize)]
struct Variables {
    #[serde(rename = "XDG_RUNTIME_DIR")]
    runtime: String,
}

/// Longest path of a Unix socket on macOS.
const SOCKET_PATH: usize = 103;

/// Where everything lies.
struct Places {
    /// The services' programs.
    programs: String,
    /// The folder whose `vx` has the sockets.
    runtime: String,
    /// What the services say.
    logs: String,
}

impl Places {
    /// Of this vxctl and this person.
    fn real() -> Option<Self> {
        let text = |path: PathBuf| path.into_os_string().into_string().ok();
        let program = std::env::current_exe().ok()?;
        let prefix = program.parent()?.parent()?;
        Some(Places {
            programs: text(prefix.join("libexec/vx"))?,
            runtime: text(paths::runtime_dir()?.parent()?.to_owned())?,
            logs: text(paths::home()?.join("Library/Logs/vx"))?,
        })
    }
}

fn agent(service: Service, places: &Places) -> Agent {
    let socket = |kind: &str| Socket {
        family: "Unix",
        kind: "stream",
        path: format!("{}/vx/{}.{kind}", places.runtime, service.name()),
        mode: 0o600,
    };
    Agent {
        label: service.label(),
        program_arguments: [format!("{}/{}", places.programs, service.program())],
        sockets: Sockets { listener: socket("sock"), control: socket("control.sock") },
        keep_alive: KeepAlive { successful_exit: false },
        // Standard would slow compilers down beside what is in front.
        process_type: "Interactive",
        // The service finishes what runs for 20 s after SIGTERM.
        exit_time_out: 25,
        // The default is 256.
        soft_resource_limits: Limits { number_of_files: 10_240 },
        environment_variables: Variables { runtime: places.runtime.clone() },
        standard_error_path: format!("{}/{}.log", places.logs, service.program()),
    }
}

fn text(service: Service, places: &Places) -> Result<String, String> {
    let agent = agent(service, places);
    let longest = agent.sockets.control.path.len();
    if longest > SOCKET_PATH {
        return Err(format!("{} is too long for a socket: {SOCKET_PATH} bytes at most", agent.sockets.control.path));
    }
    let mut bytes = Vec::new();
    plist::to_writer_xml(&mut bytes, &agent).map_err(|e| e.to_string())?;
    let mut text = String::from_utf8(bytes).map_err(|e| e.to_string())?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// `vxctl agents print`: what `install` would write.
pub fn show(services: &[Service]) -> u8 {
    let Some(places) = Places::real() else { return nowhere() };
    for service in services {
        match text(*service, &places) {
            Ok(text) => print(&text),
            Err(why) => {
                eprintln!("vxctl: {why}");
                return exit::FAILED;
            }
        }
    }
    exit::OK
}

/// `vxctl agents install`: writes them for this person and says what to type.
pub fn install(services: &[Service]) -> u8 {
    if !cfg!(target_os = "macos") {
        eprintln!(
            "vxctl: agents are launchd's, and this is not macOS: packaging/install puts units of systemd in place"
        );
        return exit::FAILED;
    }
    let (Some(places), Some(home)) = (Places::real(), paths::home()) else { return nowhere() };
    for service in services {
        match put(*service, &places, &home.join("Library/LaunchAgents")) {
            Ok(path) => print(&format!("launchctl bootstrap gui/$(id -u) {}\n", path.display())),
            Err(why) => {
                eprintln!("vxctl: {why}");
                return exit::FAILED;
            }
        }
    }
    eprintln!("The agents are written; the lines above, typed, start them.");
    exit::OK
}

fn put(service: Service, places: &Places, agents: &Path) -> Result<PathBuf, String> {
    let failed = |path: &Path, e: io::Error| format!("{}: {e}", path.display());
    let text = text(service, places)?;
    // launchd makes neither the folder of a socket nor that of a log.
    for folder in [&Path::new(&places.runtime).join("vx"), Path::new(&places.logs), agents] {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|e| failed(folder, e))?;
    }
    let path = agents.join(format!("{}.plist", service.label()));
    let new = path.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(|e| failed(&path, e))?;
    Ok(path)
}

fn nowhere() -> u8 {
    eprintln!("vxctl: neither HOME nor a folder for sockets is known, so there is no place for the agents");
    exit::FAILED
}

#[cfg(test)]
mod tests {
    use shared::paths::SOCKET_NAMES;

    use super::*;

    impl Places {
        /// What packaging/install fills in.
        fn template() -> Self {
            let word = |name: &str| format!("@{name}@");
            Places { programs: word("libexecdir"), runtime: word("runtimedir"), logs: word("logdir") }
        }
    }

    fn committed(service: Service) -> PathBuf {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/launchd");
        Path::new(folder).join(format!("{}.plist", service.label()))
    }

    #[test]
    fn committed_agents_are_those_of_the_source() {
        for service in Service::ALL {
            let file = committed(service);
            assert!(
                fs::read_to_string(&file).ok() == text(service, &Places::template()).ok(),
                "{} is stale; `cargo test --bin vxctl -- --ignored write_agents` writes it",
                file.display()
            );
        }
    }

    #[test]
    #[ignore = "writes packaging/launchd"]
    fn write_agents() {
        for service in Service::ALL {
            let file = committed(service);
            fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("folder");
            fs::write(&file, text(service, &Places::template()).expect("an agent")).expect("write");
        }
    }

    #[test]
    fn sockets_have_the_names_that_services_ask_for() {
        let value =
            plist::Value::from_reader_xml(text(Service::Cas, &Places::template()).expect("an agent").as_bytes());
        let agent = value.expect("a property list").into_dictionary().expect("a dictionary");
        let sockets = agent["Sockets"].as_dictionary().expect("a dictionary");
        let mut names: Vec<&str> = sockets.keys().map(String::as_str).collect();
        names.sort_unstable();
        let mut expected = SOCKET_NAMES;
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_socket_too_deep_is_refused() {
        let places = Places { runtime: format!("/{}", "deep/".repeat(30)), ..Places::template() };
        assert!(text(Service::Daemon, &places).is_err_and(|why| why.contains("too long")));
    }
}
