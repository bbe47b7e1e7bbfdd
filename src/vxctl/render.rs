//! Prints rows: one aligned table for people, one object for programs. Decides nothing; the
//! states and causes come from state.rs.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Map, json};
use shared::control::{Report, Value};
use shared::paths::Service;

use crate::state::Row;

/// For whom something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Aligned, with units.
    People,
    /// One object, plain numbers.
    Json,
}

impl Form {
    /// `--json` was given, or not.
    pub(crate) fn new(json: bool) -> Self {
        if json { Form::Json } else { Form::People }
    }
}

/// The table, and below it what needs a sentence.
pub fn people(rows: &[Row], now_usec: u64) -> String {
    let head = ["SERVICE", "STATE", "PID", "UP", "VERSION", "DOING"].map(str::to_owned);
    let mut table = vec![head];
    table.extend(rows.iter().map(|row| cells(row, now_usec)));
    let mut text = align(&table);
    // What is true of all three is said once.
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for row in rows {
        for note in notes(row) {
            match said.iter_mut().find(|(text, _)| *text == note) {
                Some((_, programs)) => programs.push(row.service.program()),
                None => said.push((note, vec![row.service.program()])),
            }
        }
    }
    if !said.is_empty() {
        text.push('\n');
    }
    for (note, programs) in said {
        let _ = writeln!(text, "{}: {note}", programs.join(", "));
    }
    text
}

/// The same for programs. Keys are only ever added.
pub fn json(rows: &[Row], now_usec: u64) -> String {
    let services: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.service.program(),
                "state": row.state.word(),
                "cause": row.cause,
                "pid": row.pid,
                "started_usec": row.started_usec,
                "uptime_s": row.started_usec.map(|usec| now_usec.saturating_sub(usec) / 1_000_000),
                "restarts": row.restarts,
                "version": row.report.as_ref().map(|report| &report.version),
                "hit_rate": row.report.as_ref().and_then(hit_rate),
                "status": row.report.as_ref().map(|report| object(&report.status)),
            })
        })
        .collect();
    let whole = json!({ "vxctl": env!("CARGO_PKG_VERSION"), "services": services });
    format!("{whole:#}\n")
}

fn cells(row: &Row, now_usec: u64) -> [String; 6] {
    let none = || "-".to_owned();
    [
        row.service.program().to_owned(),
        row.state.word().to_owned(),
        row.pid.map_or_else(none, |pid| pid.to_string()),
        row.started_usec.map_or_else(none, |usec| duration(now_usec.saturating_sub(usec) / 1_000_000)),
        row.report.as_ref().map_or_else(none, |report| report.version.clone()),
        match (&row.report, &row.cause) {
            (Some(report), _) => doing(row.service, &report.status),
            (None, Some(cause)) if is_short(cause) => cause.clone(),
            _ => String::new(),
        },
    ]
}

/// What fits into the table's last column stands there, the rest below.
fn is_short(cause: &str) -> bool {
    cause.len() <= 40
}

fn notes(row: &Row) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(cause) = &row.cause
        && (row.report.is_some() || !is_short(cause))
    {
        notes.push(cause.clone());
    }
    let Some(report) = &row.report else { return notes };
    if let Some(Value::Str(error)) = report.status.get("config_error") {
        notes.push(format!("vx.toml is invalid and not in use: {error}"));
    }
    if let (Some(Value::Str(rung)), Some(Value::Str(why))) = (report.status.get("rung"), report.status.get("rung_why"))
        && !why.is_empty()
    {
        notes.push(format!("sandbox {rung}, not {why}"));
    }
    if let Some(Value::List(exceptions)) = report.status.get("exceptions") {
        notes.extend(exceptions.iter().map(|exception| format!("exception in vx.toml: {exception}")));
    }
    if let Some(Value::Str(tcp)) = report.status.get("tcp") {
        notes.push(format!("TCP: {tcp}"));
    }
    if let Some(Value::U64(lost @ 1..)) = report.status.get("log_dropped") {
        let lost = counted(*lost, "message", "messages");
        notes.push(format!("{lost} of the log lost since the start: the journal took them too slowly"));
    }
    match report.status.get("note") {
        Some(Value::Str(note)) if !note.is_empty() => notes.push(note.clone()),
        Some(Value::List(list)) => notes.extend(list.iter().cloned()),
        _ => {}
    }
    if row.restarts > 0 {
        let times = counted(u64::from(row.restarts), "time", "times");
        notes.push(format!("restarted {times} after a failure: journalctl --user -u {}", row.service.unit()));
    }
    notes
}

fn doing(service: Service, status: &BTreeMap<String, Value>) -> String {
    let count = |key: &str| match status.get(key) {
        Some(Value::U64(number)) => Some(*number),
        _ => None,
    };
    let mut parts: Vec<String> = Vec::new();
    if matches!(status.get("state"), Some(Value::Str(state)) if state == "draining") {
        parts.push("draining".to_owned());
    }
    parts.extend(count("sessions").map(|n| counted(n, "session", "sessions")));
    match (count("actions"), count("slots")) {
        (Some(actions), Some(slots)) => parts.push(format!("{actions} of {} busy", counted(slots, "slot", "slots"))),
        (Some(actions), None) => parts.push(counted(actions, "action", "actions")),
        _ => {}
    }
    if service == Service::Exec {
        parts.extend(count("ran").map(|n| format!("{} run", grouped(n))));
        if let Some(Value::Str(rung)) = status.get("rung") {
            parts.push(format!("sandbox {rung}"));
        }
    }
    if let Some(store) = count("store_bytes") {
        parts.push(match count("budget_bytes") {
            Some(budget) => format!("store {} of {}", bytes(store), bytes(budget)),
            None => format!("store {}", bytes(store)),
        });
    }
    parts.extend(count("blobs").map(|n| counted(n, "blob", "blobs")));
    parts.extend(count("results").map(|n| counted(n, "result", "results")));
    if let (Some(hits), Some(misses)) = (count("hits"), count("misses"))
        && hits + misses > 0
    {
        let all = hits + misses;
        parts.push(format!("{} % hits ({} of {})", hits * 100 / all, grouped(hits), grouped(all)));
    }
    parts.join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people and programs, not a count")]
fn hit_rate(report: &Report) -> Option<f64> {
    match (report.status.get("hits"), report.status.get("misses")) {
        (Some(Value::U64(hits)), Some(Value::U64(misses))) if hits + misses > 0 => {
            Some(*hits as f64 / (hits + misses) as f64)
        }
        _ => None,
    }
}

pub fn object(status: &BTreeMap<String, Value>) -> Map<String, serde_json::Value> {
    let value = |value: &Value| match value {
        Value::Str(text) => json!(text),
        Value::U64(number) => json!(number),
        Value::F64(number) => json!(number),
        Value::Bool(flag) => json!(flag),
        Value::List(texts) => json!(texts),
    };
    status.iter().map(|(key, v)| (key.clone(), value(v))).collect()
}

fn align<const N: usize>(table: &[[String; N]]) -> String {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in table {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Two units at most: `12s`, `3min 4s`, `2h 3min`, `5d 1h`.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}min {}s", seconds % 60),
        3600..86400 => format!("{hours}h {}min", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", units[unit])
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    fn row(service: Service, state: State) -> Row {
        Row { service, state, pid: None, started_usec: None, restarts: 0, report: None, cause: None }
    }

    fn rows() -> Vec<Row> {
        let status =
            |pairs: &[(&str, Value)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let report = |pid, status| Some(Report { version: "0.1.0".into(), pid, started_usec: 1_000_000, status });
        let daemon = status(&[
            ("state", "serving".into()),
            ("sessions", 1.into()),
            ("actions", 4.into()),
            ("hits", 812.into()),
            ("misses", 25.into()),
        ]);
        let casd = status(&[
            ("store_bytes", (1_288_490_189).into()),
            ("blobs", 10_233.into()),
            ("results", 412.into()),
            ("newer_key", Value::Bool(true)),
        ]);
        vec![
            Row {
                pid: Some(31412),
                started_usec: Some(1_000_000),
                report: report(31412, daemon),
                ..row(Service::Daemon, State::Running)
            },
            Row {
                pid: Some(7),
                started_usec: Some(1_000_000),
                report: report(7, casd),
                restarts: 1,
                ..row(Service::Cas, State::Running)
            },
            Row { cause: Some("starts on the first connect".into()), ..row(Service::Exec, State::Idle) },
        ]
    }

    #[test]
    fn one_aligned_table_and_notes_below() {
        let text = people(&rows(), 185 * 1_000_000);
        let expected = "\
SERVICE    STATE    PID    UP       VERSION  DOING
vx-daemon  running  31412  3min 4s  0.1.0    1 session, 4 actions, 97 % hits (812 of 837)
vx-casd    running  7      3min 4s  0.1.0    store 1.2 GiB, 10,233 blobs, 412 results
vx-execd   idle     -      -        -        starts on the first connect

vx-casd: restarted 1 time after a failure: journalctl --user -u vx-casd
";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_keeps_keys_nobody_knows() {
        let text = json(&rows(), 185 * 1_000_000);
        let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(value["services"][1]["status"]["newer_key"], json!(true));
        assert_eq!(value["services"][0]["uptime_s"], json!(184));
        assert_eq!(value["services"][2]["state"], json!("idle"));
        assert_eq!(value["services"][2]["pid"], json!(null));
    }

    #[test]
    fn durations_and_sizes_read_well() {
        assert_eq!(duration(5), "5s");
        assert_eq!(duration(7_380), "2h 3min");
        assert_eq!(duration(90_000), "1d 1h");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1.0 KiB");
        assert_eq!(bytes(412 << 20), "412 MiB");
    }
}
