//! vx, the thin client: connects to the daemon, hands over its arguments, folder, environment and
//! three descriptors, forwards signals, and exits with the code it is told. It parses nothing but
//! `--version` and starts nothing.

#![cfg_attr(all(target_os = "linux", not(test)), no_main)]

mod arena;
mod connect;
#[cfg(all(target_os = "linux", not(test)))]
mod entry;
#[cfg(target_os = "linux")]
mod peer;
mod signals;
mod wait;

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    os::unix::ffi::OsStringExt,
    time::{SystemTime, UNIX_EPOCH},
};

use shared::{
    fault::{Failure, exit},
    paths,
    wire::{
        session::{Client, PROTOCOL, Start, Tty},
        text::Text,
    },
};

#[global_allocator]
static ARENA: arena::Arena = arena::Arena::new();

#[cfg(not(all(target_os = "linux", not(test))))]
fn main() -> std::process::ExitCode {
    run(std::env::args_os().skip(1).collect()).into()
}

/// Does what the words after the program's name say; the exit code.
fn run(argv: Vec<OsString>) -> u8 {
    if argv.len() == 1 && argv[0] == "--version" {
        // A closed standard output is the caller's wish.
        let _ = writeln!(std::io::stdout(), "vx {}", env!("CARGO_PKG_VERSION"));
        return exit::OK;
    }
    // First of all: the daemon wakes while the rest is gathered.
    let connected = connect::connect();
    let start = Start {
        protocol: PROTOCOL,
        run: run_name(),
        argv: argv.into_iter().map(Text::from).collect(),
        cwd: Text(std::env::current_dir().map(|cwd| cwd.into_os_string().into_vec()).unwrap_or_default()),
        env: paths::environment().into_iter().map(|(name, value)| (Text(name), Text(value))).collect(),
        tty: terminal(),
        fds: ["stdin", "stdout", "stderr"].map(str::to_owned).to_vec(),
        client: Client { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() },
    };
    match connected.and_then(|stream| wait::until_exit(stream, &start)) {
        Ok(code) => code,
        Err((code, failure)) => {
            report(&failure);
            code
        }
    }
}

/// Words on standard error; when that is closed there is nobody to tell.
fn report(failure: &Failure) {
    let _ = writeln!(std::io::stderr(), "vx: {failure}");
}

/// A name that no other run of this user has: the clock and the process id.
fn run_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{}", now.as_secs(), now.subsec_nanos(), std::process::id())
}

fn terminal() -> Option<Tty> {
    let stderr = std::io::stderr();
    if !stderr.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stderr).ok();
    Some(size.map_or(Tty { rows: 24, cols: 80 }, |size| Tty { rows: size.ws_row, cols: size.ws_col }))
}
