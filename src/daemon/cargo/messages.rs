//! cargo's messages for programs (`--message-format json`), one JSON object a line, in cargo's
//! order of keys: what rustc said, what was built, what a script said, how it ended.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    MANIFEST,
    directives::Directives,
    place,
    plan::{Kind, Plan, Unit},
    unit_graph::{Debuginfo, Target},
};

/// What `--message-format` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Format {
    pub rendering: Rendering,
    pub messages: Messages,
}

/// How rustc draws its diagnostics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rendering {
    #[default]
    Full,
    /// One line each.
    Short,
}

/// For whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Messages {
    /// For a person, on standard error.
    #[default]
    Human,
    /// For a program, on standard output.
    Json(JsonDiagnostics),
}

/// rustc's diagnostics among messages for programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JsonDiagnostics {
    #[default]
    Plain,
    /// With colours in the text.
    Ansi,
    /// Not there, but on standard error for a person.
    Rendered,
}

/// Whether a unit was there or had to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    Yes,
    No,
}

#[derive(Serialize)]
struct Artifact<'a> {
    reason: &'static str,
    package_id: &'a str,
    manifest_path: String,
    target: &'a Target,
    profile: Profile<'a>,
    features: &'a [String],
    filenames: Vec<String>,
    executable: Option<String>,
    fresh: bool,
}

#[derive(Serialize)]
struct Profile<'a> {
    opt_level: &'a str,
    debuginfo: &'a Debuginfo,
    debug_assertions: bool,
    overflow_checks: bool,
    test: bool,
}

#[derive(Serialize)]
struct Executed<'a> {
    reason: &'static str,
    package_id: &'a str,
    linked_libs: &'a [String],
    linked_paths: Vec<String>,
    cfgs: &'a [String],
    env: Vec<(&'a str, String)>,
    out_dir: String,
}

#[derive(Serialize)]
struct Said<'a> {
    reason: &'static str,
    package_id: &'a str,
    manifest_path: String,
    target: &'a Target,
    message: &'a serde_json::value::RawValue,
}

/// A line of text of a message; what serde cannot write does not exist in these types.
fn line(message: &impl Serialize) -> String {
    serde_json::to_string(message).map(|text| text + "\n").unwrap_or_default()
}

/// A diagnostic of rustc's, `raw` being its line with the person's own paths in it.
pub fn compiler_message(plan: &Plan, unit: &Unit, raw: &str, diagnostics: JsonDiagnostics) -> String {
    let package = plan.package(unit);
    let text = if diagnostics == JsonDiagnostics::Plain { without_colours(raw) } else { None };
    let text = text.unwrap_or_else(|| raw.to_owned());
    let Ok(message) = serde_json::value::RawValue::from_string(text) else { return String::new() };
    line(&Said {
        reason: "compiler-message",
        package_id: &package.id,
        manifest_path: package.real.join(MANIFEST).to_string_lossy().into_owned(),
        target: &unit.target,
        message: &message,
    })
}

/// The same message with plain text in `rendered`, which then stands first, and `code` last.
fn without_colours(raw: &str) -> Option<String> {
    let mut fields: Map<String, Value> = serde_json::from_str(raw).ok()?;
    let rendered = fields.remove("rendered")?.as_str().map(|text| anstream::adapter::strip_str(text).to_string())?;
    let code = fields.remove("code").unwrap_or_default();
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort();
    let mut text = format!("{{\"rendered\":{}", Value::from(rendered));
    for name in names {
        text.push_str(&format!(",{}:{}", Value::from(name.as_str()), fields[name]));
    }
    Some(format!("{text},\"code\":{code}}}"))
}

/// What a unit left.
pub fn artifact(plan: &Plan, unit: &Unit, fresh: Fresh) -> String {
    let package = plan.package(unit);
    let profile = &unit.profile;
    let files = place::reported(plan, unit);
    line(&Artifact {
        reason: "compiler-artifact",
        package_id: &package.id,
        manifest_path: package.real.join(MANIFEST).to_string_lossy().into_owned(),
        target: &unit.target,
        profile: Profile {
            opt_level: &profile.opt_level,
            debuginfo: &profile.debuginfo,
            debug_assertions: profile.debug_assertions,
            overflow_checks: profile.overflow_checks,
            test: unit.kind == Kind::Test,
        },
        features: &unit.features,
        executable: files.first().filter(|_| unit.is_program()).cloned(),
        filenames: files,
        fresh: fresh == Fresh::Yes,
    })
}

/// What a script said.
pub fn build_script(plan: &Plan, unit: &Unit, said: &Directives) -> String {
    line(&Executed {
        reason: "build-script-executed",
        package_id: &plan.package(unit).id,
        linked_libs: &said.libraries,
        linked_paths: said.library_paths.iter().map(|path| plan.shown(path)).collect(),
        cfgs: &said.cfgs,
        env: said.env.iter().map(|(name, value)| (name.as_str(), plan.shown(value))).collect(),
        out_dir: plan.shown(&unit.out_dir(plan)),
    })
}

/// Whether a build worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    Yes,
    No,
}

/// The last message.
pub fn build_finished(success: Success) -> &'static str {
    match success {
        Success::Yes => "{\"reason\":\"build-finished\",\"success\":true}\n",
        Success::No => "{\"reason\":\"build-finished\",\"success\":false}\n",
    }
}

/// Changes the texts in a JSON document and leaves all else as it is written.
pub fn map_texts(json: &str, change: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let (before, text) = rest.split_at(start);
        out.push_str(before);
        let end = end_of_text(text);
        let (text, after) = text.split_at(end);
        match serde_json::from_str::<String>(text) {
            Ok(plain) if plain.contains("/vx/") => out.push_str(&Value::from(change(&plain)).to_string()),
            _ => out.push_str(text),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// How long the text is that a JSON document begins with, quotes included.
fn end_of_text(json: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_change_and_nothing_else_does() {
        let json = r#"{"z":"at \n/vx/ws/a \"/vx/ws\"","a" : [1.0, "/vx/ws", "\u001b[0m/x"], "b\\":null}"#;
        let changed = map_texts(json, |text| text.replace("/vx/ws", "/w\""));
        assert_eq!(changed, r#"{"z":"at \n/w\"/a \"/w\"\"","a" : [1.0, "/w\"", "\u001b[0m/x"], "b\\":null}"#);
        assert_eq!(map_texts("\"broken", str::to_owned), "\"broken");
    }

    #[test]
    fn colours_go_and_the_keys_stand_as_cargo_writes_them() {
        let raw = r#"{"message":"m","code":{"code":"c","explanation":null},"level":"error","spans":[{"b":1,"a":2}],"rendered":"\u001b[1mr\u001b[0m\n"}"#;
        assert_eq!(
            without_colours(raw).as_deref(),
            Some(
                r#"{"rendered":"r\n","level":"error","message":"m","spans":[{"a":2,"b":1}],"code":{"code":"c","explanation":null}}"#
            )
        );
        assert_eq!(without_colours(r#"{"rendered":null}"#), None);
    }
}
