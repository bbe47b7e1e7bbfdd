//! Merging, priorities and refusals of cargo's configuration.

use super::super::select::Selection;
use super::*;

fn config(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    said(files, variables, &[])
}

fn said(files: &[(&str, &str)], variables: &[(&str, &str)], words: &[&str]) -> Result<Config, ConfigError> {
    let files: BTreeMap<PathBuf, String> =
        files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    Config::load(&files, Path::new("/w/a"), Path::new("/home/p/.cargo"), &variables, &words)
}

fn linux() -> Vec<Cfg> {
    ["unix", "target_os=\"linux\""].map(|one| Cfg::from_str(one).expect("a cfg")).into()
}

#[test]
fn lists_join_nearest_last_and_texts_keep_the_nearest() {
    let files = [
        ("/w/a/.cargo/config.toml", "build.rustflags = ['--cfg', 'near']\n[target.t]\nlinker = 'near/ld'"),
        ("/w/.cargo/config.toml", "[target.t]\nlinker = 'far'"),
        ("/home/p/.cargo/config.toml", "build.rustflags = ['--cfg', 'home']"),
    ];
    let config = config(&files, &[("CARGO_BUILD_RUSTFLAGS", "--cfg env")]).expect("a configuration");
    assert_eq!(config.rustflags("t", None).expect("flags"), ["--cfg", "home", "--cfg", "near", "--cfg", "env"]);
    assert_eq!(config.linker("t", &[]).expect("a linker").as_deref(), Some("/w/a/near/ld"));
}

#[test]
fn the_command_line_stands_above_variables_above_files() {
    let files = [
        ("/w/a/.cargo/config.toml", "build.rustflags = ['file']\nbuild.target = 'f'\n[target.t]\nlinker = 'file'"),
        ("/w/a/conf/own.toml", "include = ['more.toml']\nbuild.rustflags = ['first']\n[target.t]\nlinker = 'b/ld'"),
        ("/w/a/conf/more.toml", "[target.t]\nlinker = 'more'\nrunner = ['conf/run', 'it']"),
    ];
    let variables = [
        ("CARGO_BUILD_RUSTFLAGS", "env"),
        ("CARGO_BUILD_TARGET", "e"),
        ("CARGO_TARGET_T_LINKER", "env"),
        ("CARGO_TARGET_T_RUNNER", "env"),
        ("CARGO_TERM_QUIET", "false"),
        ("SET", "own"),
    ];
    let words = ["conf/own.toml", "build.rustflags=['last']", "term.quiet=true", "env.SET='said'", "env.OTHER='said'"];
    let config = said(&files, &variables, &words).expect("a configuration");
    assert_eq!(config.rustflags("t", None).expect("flags"), ["file", "env", "first", "last"]);
    assert_eq!(config.linker("t", &[]).expect("a linker").as_deref(), Some("/w/a/b/ld"));
    assert_eq!(config.runner("t", &[]).expect("a runner"), ["/w/a/conf/run", "it"]);
    assert_eq!((config.targets(), config.term().quiet), (vec!["e".to_owned()], Some(true)));
    let set = config.env().expect("variables");
    assert_eq!((set["SET"].as_str(), set["OTHER"].as_str()), ("own", "said"));

    let words = ["build.target='x'", "build.target='y'", "build.target-dir='out'", "target.t.linker='c/ld'"];
    let config = said(&files, &[("CARGO_BUILD_TARGET_DIR", "env"), variables[1]], &words).expect("a configuration");
    assert_eq!((config.targets(), config.target_dir(Path::new("/w"))), (vec!["y".to_owned()], "/w/a/out".into()));
    assert_eq!(config.linker("t", &[]).expect("a linker").as_deref(), Some("/w/a/c/ld"));
    // As cargo has it.
    let elsewhere = said(&files, &[("CARGO_TARGET_DIR", "env")], &words).expect("a configuration");
    assert_eq!(elsewhere.target_dir(Path::new("/w")), Path::new("/w/a/env"));
}

#[test]
fn a_word_that_is_no_key_is_refused_in_cargos_words() {
    let refused = |word: &str| said(&[("/w/a/bad.toml", "a =")], &[], &[word]).expect_err("it is wrong").to_string();
    let no_key = refused("nonsense");
    assert!(no_key.starts_with("failed to parse value from --config argument `nonsense` as a dotted key"), "{no_key}");
    let file = refused("bad.toml");
    let start = "failed to load config from `/w/a/bad.toml`\n\nCaused by:\n  could not parse TOML configuration in `/w/a/bad.toml`";
    assert!(file.starts_with(start), "{file}");
    assert!(refused("build.rustc='x'").contains("`build.rustc`"));
    assert!(refused("registry.credential-provider='x'").contains("in --config"));
    assert!(refused("unstable.build-std=[]").contains("unstable.build-std"));
}

#[test]
fn the_first_source_of_rustflags_wins() {
    let file = [(
        "/w/a/.cargo/config.toml",
        "build.rustflags = ['a']\n[target.t]\nrustflags = ['b']\n[target.'cfg(unix)']\nrustflags = ['c']\n[target.'cfg(windows)']\nrustflags = ['d']",
    )];
    let plain = config(&file, &[]).expect("a configuration");
    assert_eq!(plain.rustflags("t", Some(&linux())).expect("flags"), ["b", "c"]);
    assert_eq!(plain.rustflags("u", Some(&linux())).expect("flags"), ["c"]);
    assert_eq!(plain.rustflags("u", None).expect("flags"), ["a"]);
    let with = config(&file, &[("RUSTFLAGS", " x  y ")]).expect("a configuration");
    assert_eq!(with.rustflags("t", Some(&linux())).expect("flags"), ["x", "y"]);
    let encoded =
        config(&file, &[("RUSTFLAGS", "x"), ("CARGO_ENCODED_RUSTFLAGS", "a b\x1fc")]).expect("a configuration");
    assert_eq!(encoded.rustflags("t", Some(&linux())).expect("flags"), ["a b", "c"]);
    let triple = config(&file, &[("CARGO_TARGET_X86_64_A_RUSTFLAGS", "v")]).expect("a configuration");
    assert_eq!(triple.rustflags("x86_64-a", None).expect("flags"), ["v"]);
}

#[test]
fn env_is_relative_forced_or_the_persons() {
    let file = [(
        "/w/.cargo/config.toml",
        "[env]\nA = 'a'\nB = { value = 'b', force = true }\nC = { value = 'c/d', relative = true }",
    )];
    let env = config(&file, &[("A", "own"), ("B", "own")]).expect("a configuration").env().expect("variables");
    assert_eq!(env["A"], "own");
    assert_eq!(env["B"], "b");
    assert_eq!(env["C"], "/w/c/d");
    assert!(config(&[("/w/.cargo/config.toml", "env.CARGO_HOME = 'x'")], &[]).expect("a configuration").env().is_err());
}

#[test]
fn two_linkers_that_match_are_an_error() {
    let both = "[target.'cfg(unix)']\nlinker = 'a'\n[target.'cfg(target_os = \"linux\")']\nlinker = 'b'";
    let error = config(&[("/w/a/.cargo/config.toml", both)], &[]).expect("a configuration").linker("t", &linux());
    assert!(error.expect_err("two linkers").to_string().contains("both match"));
}

#[test]
fn targets_of_words_files_and_variables() {
    let file = [("/w/a/.cargo/config.toml", "build.target = ['a', 'b']")];
    let targets = |platforms: &[&str], variables: &[(&str, &str)]| {
        let platforms = platforms.iter().map(|one| (*one).to_owned()).collect();
        let selection = Selection { platforms, ..Selection::default() };
        selection.platforms(&config(&file, variables).expect("a configuration"))
    };
    assert_eq!(targets(&[], &[]).expect("targets"), ["a", "b"]);
    assert_eq!(targets(&[], &[("CARGO_BUILD_TARGET", "c")]).expect("targets"), ["c"]);
    assert_eq!(targets(&["d"], &[("CARGO_BUILD_TARGET", "c")]).expect("targets"), ["d"]);
    assert!(targets(&["own.json"], &[]).expect_err("a file").to_string().contains("`own.json`"));
}

#[test]
fn what_vx_does_not_follow_is_named() {
    let named = |text: &str, variables: &[(&str, &str)]| match config(&[("/w/a/.cargo/config.toml", text)], variables) {
        Err(ConfigError::Refused { key, .. }) => key,
        other => panic!("accepted: {other:?}"),
    };
    assert_eq!(named("unstable.build-std = ['core']", &[]), "unstable.build-std");
    assert_eq!(named("", &[("RUSTC", "x")]), "RUSTC");
    assert_eq!(named("registry.credential-provider = ['evil']", &[]), "registry.credential-provider");
    assert_eq!(
        named("registries.r.credential-provider = 'cargo:token-from-stdout evil'", &[]),
        "registries.r.credential-provider"
    );
    let moved = config(&[], &[("CARGO_BUILD_BUILD_DIR", "/elsewhere")]).expect("a configuration");
    assert!(moved.notes[0].contains("CARGO_BUILD_BUILD_DIR"));
    let fine = "registry.global-credential-providers = ['cargo:token']\nbuild.rustc-wrapper = 'sccache'";
    let config = config(&[("/w/a/.cargo/config.toml", fine)], &[]).expect("a configuration");
    assert!(config.notes[0].contains("build.rustc-wrapper"));
    let own = [("/home/p/.cargo/config.toml", "registry.credential-provider = ['mine']")];
    assert!(
        super::Config::load(
            &own.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect::<BTreeMap<_, _>>(),
            Path::new("/w"),
            Path::new("/home/p/.cargo"),
            &BTreeMap::new(),
            &[]
        )
        .is_ok()
    );
}

#[test]
fn includes_lie_under_the_file_that_names_them() {
    let files = [
        (
            "/w/a/.cargo/config.toml",
            "include = ['one.toml', { path = 'gone.toml', optional = true }]\nbuild.target-dir = 'own'",
        ),
        ("/w/a/.cargo/one.toml", "build.target-dir = 'one'\nbuild.rustflags = ['x']"),
    ];
    let config_ = config(&files, &[]).expect("a configuration");
    assert_eq!(config_.target_dir(Path::new("/w")), Path::new("/w/a/own"));
    assert_eq!(config_.rustflags("t", None).expect("flags"), ["x"]);
    assert!(config(&[("/w/a/.cargo/config.toml", "include = ['gone.toml']")], &[]).is_err());
    assert!(config(&[("/w/a/.cargo/config.toml", "include = ['config.toml']")], &[]).is_err());
    let over = config(&files, &[("CARGO_TARGET_DIR", "/t")]).expect("a configuration");
    assert_eq!(over.target_dir(Path::new("/w")), Path::new("/t"));
}
