//! Merging, priorities and refusals of cargo's configuration.

use super::super::select::Selection;
use super::*;

fn config(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let files: BTreeMap<PathBuf, String> =
        files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(&files, Path::new("/w/a"), Path::new("/home/p/.cargo"), &variables)
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
            &BTreeMap::new()
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
