//! Which of the person's variables a call sees. What is passed is part of the key, so it is a
//! short list of what tools are steered by, and what a unit has been seen to ask for; never
//! secrets, never the session's noise.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    mounts,
    process::{TOOLCHAIN_NAME, toolchain_name},
};

/// Fixed for every call.
const FIXED: [(&str, &str); 3] = [("HOME", mounts::HOME), ("LANG", "C.UTF-8"), ("PATH", "")];
/// Of those, what a compiler call is given as the person has it where its crate names it (`env!`): no
/// tool is steered by it, and the result would hold another value than cargo's.
const OWN: [&str; 2] = ["HOME", "LANG"];
/// What an Action says of NUM_JOBS: a machine's own number would divide the keys. vx-execd puts its
/// slots in the place of it.
pub const NUM_JOBS: &str = "4";

/// What rustc itself obeys.
const RUSTC: [&str; 3] = ["RUSTC_BOOTSTRAP", "RUST_MIN_STACK", "SOURCE_DATE_EPOCH"];

/// What scripts and macros are steered by; `*` stands for any end.
const TOOLS: [&str; 34] = [
    "AR",
    "AR_*",
    "ARFLAGS*",
    "AS",
    "ASFLAGS*",
    "AWS_LC_*",
    "BINDGEN_*",
    "CC",
    "CC_*",
    "CFLAGS*",
    "CLANG_PATH",
    "CMAKE",
    "CMAKE_*",
    "CPP",
    "CPPFLAGS",
    "CRATE_CC_*",
    "CXX",
    "CXX_*",
    "CXXFLAGS*",
    "CXXSTDLIB*",
    "HOST_*",
    "LD",
    "LDFLAGS",
    "LIBCLANG_*",
    "LLVM_CONFIG_PATH",
    "NM",
    "OPENSSL_*",
    "PKG_CONFIG*",
    "PROTOC",
    "PROTOC_INCLUDE",
    "RANLIB*",
    "RUSTC_BOOTSTRAP",
    "SOURCE_DATE_EPOCH",
    "TARGET_*",
];

/// Names that hold secrets, wherever these words stand in them.
const SECRET: [&str; 8] = ["TOKEN", "SECRET", "PASSW", "CREDENTIAL", "PRIVATE_KEY", "API_KEY", "SSH_", "GPG_"];

/// What a session, a shell or a terminal sets for itself, and what cargo, rustup and make have set or obey: no program is given
/// it for having its name in its text, since that says little of such names, and their values differ from terminal to terminal.
const NOISE: [&str; 59] = [
    "_",
    "BASH*",
    "CARGO*",
    "CLICOLOR*",
    "COLORTERM",
    "COLUMNS",
    "DBUS_*",
    "DESKTOP_*",
    "DISPLAY",
    "EDITOR",
    "FORCE_COLOR",
    "GIT_EDITOR",
    "GIT_PAGER",
    "GIT_TERMINAL_PROMPT",
    "HISTFILE",
    "HISTSIZE",
    "HOME",
    "HOSTNAME",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "LD_*",
    "LESS",
    "LINES",
    "LISTEN_*",
    "LOGNAME",
    "LS_COLORS",
    "MAIL",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MANAGERPID",
    "MFLAGS",
    "NOTIFY_*",
    "NO_COLOR",
    "NUM_JOBS",
    "OLDPWD",
    "PAGER",
    "PATH",
    "PS1",
    "PWD",
    "RUST*",
    "SESSION_MANAGER",
    "SHELL",
    "SHLVL",
    "STY",
    "SYSTEMD_*",
    "TEMP",
    "TERM",
    "TERM_*",
    "TMP",
    "TMPDIR",
    "TMUX*",
    "USER",
    "USERNAME",
    "VISUAL",
    "WAYLAND_DISPLAY",
    "XDG_*",
];
/// Names shorter than this stand in any machine code by chance.
const SHORT: usize = 4;
/// How the names of proxies end, in either case: with no network they are of no use, and they may hold passwords.
const PROXY: &str = "_PROXY";

/// The person's environment, sorted by who may see what.
#[derive(Debug, Clone, Default)]
pub struct Ambient {
    person: BTreeMap<String, String>,
    /// Further names, from `[env] pass` of vx.toml.
    pass: Vec<String>,
    /// What PATH ends with: programs in folders that vx.toml shows.
    path: String,
}

impl Ambient {
    pub fn new(person: BTreeMap<String, String>, pass: Vec<String>) -> Self {
        Ambient { person, pass, path: String::new() }
    }

    /// The same where these folders of the host are shown beside its own.
    #[must_use]
    pub fn with_folders(self, folders: &[PathBuf]) -> Self {
        let path = folders.iter().map(|folder| format!(":{}/bin", folder.display())).collect();
        Ambient { path, ..self }
    }

    /// The same with what rustup adds where the person's cargo is of a toolchain of its.
    #[must_use]
    pub fn with_toolchain(mut self, folder: &Path) -> Self {
        let name = toolchain_name(folder).map(|name| (TOOLCHAIN_NAME.to_owned(), name));
        self.person.extend(name);
        self
    }

    /// By which name cargo hands on the toolchain: rustup's, or what the person has set.
    pub fn toolchain(&self) -> Option<(&str, &str)> {
        Some((TOOLCHAIN_NAME, self.get(TOOLCHAIN_NAME)?))
    }

    /// For a compiler call without macros: fixed variables, what rustc obeys, and the `named`
    /// ones that this unit's dep-info has named before.
    pub fn for_rustc(&self, named: &[String]) -> BTreeMap<String, String> {
        let picked = self.pick(|name| RUSTC.contains(&name) || named.iter().any(|one| one == name));
        self.as_named(picked, named)
    }

    /// For compiler calls that load macros.
    pub fn for_macros(&self, named: &[String]) -> BTreeMap<String, String> {
        self.as_named(self.for_scripts(named), named)
    }

    /// For scripts, which may read any variable, as macros may.
    pub fn for_scripts(&self, named: &[String]) -> BTreeMap<String, String> {
        self.pick(|name| self.is_listed(name) || named.iter().any(|one| one == name))
    }

    /// The person's variables that a script or macro is given where the text of its program names them.
    pub fn for_who_mentions(&self) -> Vec<String> {
        let is_noise =
            |name: &str| NOISE.iter().any(|pattern| matches(pattern, name)) || name.to_uppercase().ends_with(PROXY);
        let is_plain = |name: &str| !name.is_empty() && !name.contains(char::is_control);
        let names = self.person.keys().filter(|name| is_plain(name) && !is_noise(name) && !is_secret(name));
        names.filter(|name| !self.is_listed(name)).cloned().collect()
    }

    /// Whether a name in the text of other people's program says nothing: their results are everybody's, whatever session asks.
    pub fn is_chance(name: &str) -> bool {
        name.len() < SHORT
    }

    fn is_listed(&self, name: &str) -> bool {
        let mut patterns = TOOLS.into_iter().chain(self.pass.iter().map(String::as_str));
        patterns.any(|pattern| matches(pattern, name))
    }

    /// A variable of the person's, for the rules that ask for one by name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.person.get(name).map(String::as_str)
    }

    /// Whether a compiler call would be given another value than it held, had it named this before.
    pub fn owns(&self, name: &str, held: &str) -> bool {
        OWN.contains(&name) && self.get(name).is_some_and(|own| own != held)
    }

    fn as_named(&self, mut picked: BTreeMap<String, String>, named: &[String]) -> BTreeMap<String, String> {
        let own = OWN.iter().filter(|name| named.iter().any(|one| one == *name));
        let own = own.filter_map(|name| Some(((*name).to_owned(), self.get(name)?.to_owned())));
        picked.extend(own);
        picked
    }

    fn pick(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let mut picked: BTreeMap<String, String> = self
            .person
            .iter()
            .filter(|(name, _)| wanted(name) && !is_secret(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        picked.extend(FIXED.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let path = format!("{}/bin:/usr/local/bin:/usr/bin:/bin{}", mounts::TOOLCHAIN, self.path);
        picked.insert("PATH".to_owned(), path);
        picked
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|word| name.to_uppercase().contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_pass_noise_and_secrets_do_not() {
        let person = ["CC", "CFLAGS_x", "TERM", "PKG_CONFIG_PATH", "CARGO_REGISTRY_TOKEN", "MINE", "PATH", "HOME"];
        let person = person.map(|name| (name.to_owned(), "v".to_owned())).into();
        let ambient = Ambient::new(person, vec!["MI*".to_owned()]);
        let names = |vars: BTreeMap<String, String>| vars.into_keys().collect::<Vec<_>>();
        let named = ["CARGO_REGISTRY_TOKEN".to_owned(), "TERM".to_owned()];
        assert_eq!(names(ambient.for_rustc(&[])), ["HOME", "LANG", "PATH"]);
        assert_eq!(names(ambient.for_rustc(&named)), ["HOME", "LANG", "PATH", "TERM"]);
        assert_eq!(
            names(ambient.for_scripts(&[])),
            ["CC", "CFLAGS_x", "HOME", "LANG", "MINE", "PATH", "PKG_CONFIG_PATH"]
        );
        assert_eq!(ambient.for_rustc(&named)["HOME"], "/vx/home");
    }

    #[test]
    fn the_sessions_own_is_nothing_to_look_for() {
        let person = [
            "MINE",
            "CI",
            "XDG_SEAT",
            "https_proxy",
            "CARGO_HOME",
            "RUST_LOG",
            "CC",
            "MY_TOKEN",
            "_",
            "odd\nname",
            "PASSED",
        ];
        let ambient =
            Ambient::new(person.map(|name| (name.to_owned(), "v".to_owned())).into(), vec!["PASSED".to_owned()]);
        assert_eq!(ambient.for_who_mentions(), ["CI", "MINE"]);
        assert!(Ambient::is_chance("CI") && !Ambient::is_chance("MINE"));
    }

    #[test]
    fn a_crate_that_names_the_home_gets_the_persons_and_a_script_does_not() {
        let ambient = Ambient::new([("HOME".to_owned(), "/home/p".to_owned())].into(), Vec::new());
        let named = ["HOME".to_owned(), "LANG".to_owned(), "PATH".to_owned()];
        for given in [ambient.for_rustc(&named), ambient.for_macros(&named)] {
            assert_eq!((given["HOME"].as_str(), given["LANG"].as_str()), ("/home/p", "C.UTF-8"));
        }
        assert_eq!(ambient.for_scripts(&named)["HOME"], "/vx/home");
        assert!(ambient.owns("HOME", "/vx/home") && !ambient.owns("HOME", "/home/p") && !ambient.owns("PATH", ""));
    }
}
