//! The lines of rustc's standard error: JSON documents of several kinds, and anything else.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One line of rustc's standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Diagnostic(Diagnostic),
    /// An output is there: `metadata` may be used before the process ends.
    Artifact {
        path: String,
        emit: String,
    },
    /// Counts of future-incompatibility reports: warnings and errors.
    FutureIncompat {
        warnings: usize,
        errors: usize,
    },
    /// No message of rustc's: shown as it is.
    Text(String),
    /// rustc's own summary, for which cargo has its closing line.
    Summary,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub level: String,
    /// With escape sequences, without a line break at the end.
    pub rendered: String,
    /// Whether it has a code that allows a machine to apply its suggestion.
    pub is_fixable: bool,
}

#[derive(Deserialize)]
struct Message {
    rendered: String,
    message: String,
    level: String,
    children: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    suggestion_applicability: Option<String>,
}

#[derive(Deserialize)]
struct Artifact {
    artifact: String,
    #[serde(default)]
    emit: String,
}

#[derive(Deserialize)]
struct FutureIncompat {
    future_incompat_report: Vec<FutureItem>,
}

#[derive(Deserialize)]
struct FutureItem {
    diagnostic: FutureDiagnostic,
}

#[derive(Deserialize)]
struct FutureDiagnostic {
    level: String,
}

/// Reads one line.
pub fn read_line(line: &str) -> Line {
    let text = || Line::Text(line.to_owned());
    if !line.starts_with('{') {
        return text();
    }
    let Ok(json) = serde_json::from_str::<&RawValue>(line) else { return text() };
    if let Ok(message) = serde_json::from_str::<Message>(json.get()) {
        let said = &message.message;
        if said.starts_with("aborting due to")
            || said.ends_with("warning emitted")
            || said.ends_with("warnings emitted")
        {
            return Line::Summary;
        }
        let spans = message.children.iter().flat_map(|child| &child.spans);
        let is_fixable =
            spans.filter_map(|span| span.suggestion_applicability.as_deref()).any(|one| one == "MachineApplicable");
        let rendered = message.rendered.strip_suffix('\n').unwrap_or(&message.rendered).to_owned();
        return Line::Diagnostic(Diagnostic { level: message.level, rendered, is_fixable });
    }
    if let Ok(report) = serde_json::from_str::<FutureIncompat>(json.get()) {
        let count =
            |level: &str| report.future_incompat_report.iter().filter(|item| item.diagnostic.level == level).count();
        return Line::FutureIncompat { warnings: count("warning"), errors: count("error") };
    }
    match serde_json::from_str::<Artifact>(json.get()) {
        Ok(artifact) => Line::Artifact { path: artifact.artifact, emit: artifact.emit },
        Err(_) => text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_rustc() {
        let artifact = r#"{"$message_type":"artifact","artifact":"/vx/out/libx.rmeta","emit":"metadata"}"#;
        assert_eq!(
            read_line(artifact),
            Line::Artifact { path: "/vx/out/libx.rmeta".to_owned(), emit: "metadata".to_owned() }
        );
        assert_eq!(read_line("noise"), Line::Text("noise".to_owned()));
        assert_eq!(read_line("{noise"), Line::Text("{noise".to_owned()));
        let summary = r#"{"message":"1 warning emitted","code":null,"level":"warning","spans":[],"children":[],"rendered":"x\n"}"#;
        assert_eq!(read_line(summary), Line::Summary);
        let future = r#"{"future_incompat_report":[{"diagnostic":{"message":"m","level":"warning","spans":[],"children":[],"rendered":"x","code":null}}]}"#;
        assert_eq!(read_line(future), Line::FutureIncompat { warnings: 1, errors: 0 });
        let warning = r#"{"message":"unused","code":{"code":"unused"},"level":"warning","spans":[],"rendered":"r\n",
            "children":[{"message":"h","code":null,"level":"help","spans":[{"suggestion_applicability":"MachineApplicable"}],"children":[],"rendered":null}]}"#;
        let Line::Diagnostic(diagnostic) = read_line(&warning.replace('\n', " ")) else { panic!("no diagnostic") };
        assert!(diagnostic.is_fixable && diagnostic.rendered == "r");
    }
}
