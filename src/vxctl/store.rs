//! `vxctl cas`: the upkeep of the store, which casd does and this shows. casd is started if it does
//! not run, for without it there is nothing to ask.

use std::{collections::BTreeMap, fmt::Write};

use shared::{
    control::{ControlError, LongRemote, Value},
    fault::exit,
    paths::Service,
};

use crate::{
    bus::Ways,
    cli::CasWord,
    print,
    render::{self, Form},
    running::started,
};

type Keys = BTreeMap<String, Value>;

/// Runs the word; the exit code is 1 when the store is damaged.
pub async fn run(word: CasWord) -> u8 {
    let ways = Ways::open().await;
    let remote = match started(&ways, Service::Cas).await {
        Ok(remote) => remote,
        Err(code) => return code,
    };
    let (form, asked) = match word {
        CasWord::Verify { json } => (json, ask(&remote, Upkeep::Verify).await),
        CasWord::Gc { json } => (json, ask(&remote, Upkeep::Gc).await),
        CasWord::Stats { json } => (json, ask(&remote, Upkeep::Stats).await),
    };
    match asked {
        Ok(keys) => {
            print(&match Form::new(form) {
                Form::Json => format!("{:#}\n", serde_json::Value::Object(render::object(&keys))),
                Form::People => people(&keys),
            });
            if is_damaged(&keys) { exit::FAILED } else { exit::OK }
        }
        Err(e @ ControlError::Protocol(_)) => {
            eprintln!("vxctl: vx-casd: {e}");
            exit::FAILED
        }
        Err(e) => {
            eprintln!("vxctl: vx-casd: {e}");
            exit::UNREACHABLE
        }
    }
}

enum Upkeep {
    Verify,
    Gc,
    Stats,
}

async fn ask(remote: &shared::control::Remote, upkeep: Upkeep) -> Result<Keys, ControlError> {
    let store = LongRemote::beside(remote).await?;
    match upkeep {
        Upkeep::Verify => store.verify().await,
        Upkeep::Gc => store.gc().await,
        Upkeep::Stats => store.stats().await,
    }
}

/// `verify` counts what is wrong under this key.
fn is_damaged(keys: &Keys) -> bool {
    matches!(keys.get("damaged"), Some(Value::U64(count)) if *count > 0)
}

/// One key a line; sizes as people read them, lists one item a line.
fn people(keys: &Keys) -> String {
    let width = keys.keys().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (key, value) in keys {
        let words = key.trim_end_matches("_bytes").replace('_', " ");
        let shown = match value {
            Value::U64(number) if key.ends_with("_bytes") => render::bytes(*number),
            Value::U64(number) => render::grouped(*number),
            Value::F64(number) => format!("{number:.2}"),
            Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Value::Str(text) => text.clone(),
            Value::List(items) => items.join(&format!("\n{:width$}  ", "")),
        };
        let _ = writeln!(text, "{words:width$}  {shown}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_well() {
        let keys: Keys = [
            ("blobs", Value::U64(12345)),
            ("damaged", Value::U64(1)),
            ("damaged_blobs", Value::List(vec!["a".into(), "b".into()])),
            ("freed_bytes", Value::U64(5 << 20)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let expected = "\
blobs          12,345
damaged        1
damaged blobs  a
               b
freed          5.0 MiB
";
        assert_eq!(people(&keys), expected);
        assert!(is_damaged(&keys));
        assert!(!is_damaged(&Keys::new()));
    }
}
