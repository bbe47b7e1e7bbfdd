//! Hands out one declared output while its action still runs: a line of rustc's on standard error
//! says that it is there. What the line says is not believed beyond that: only the declared path
//! is looked at, as at the end of an action, and what is captured is content by its digest.

use serde::Deserialize;
use shared::failpoint::{self, Point};
use tokio::sync::oneshot;

use crate::{
    action::Request,
    collect::{Collector, OutputFile, Said},
    executor::Executor,
    view::{View, paths::Output, words::Words},
};

/// The longest line that is looked at: a path with what is around it.
const LINE_BYTES: usize = 16 << 10;

/// How rustc begins the lines that name an artifact.
const ARTIFACT: &[u8] = b"{\"$message_type\":\"artifact\"";

/// Reads along on a stream until the notice comes.
#[derive(Debug)]
pub struct Notice {
    path: String,
    /// The line so far; `None` behind a part of it that cannot begin a notice.
    line: Option<Vec<u8>>,
    seen: Option<oneshot::Sender<()>>,
}

#[derive(Deserialize)]
struct Artifact<'a> {
    #[serde(borrow)]
    artifact: std::borrow::Cow<'a, str>,
}

impl Notice {
    /// A notice about `output`, and what tells when it came. That ends without a word when the
    /// notice is dropped.
    pub fn of(output: &Output, words: &Words) -> (Notice, oneshot::Receiver<()>) {
        let (seen, receiver) = oneshot::channel();
        let path = words.real(&format!("/{}", output.path.display()));
        (Notice { path, line: Some(Vec::new()), seen: Some(seen) }, receiver)
    }

    /// The next bytes of the stream.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while self.seen.is_some() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            self.add(&bytes[..end.unwrap_or(bytes.len())]);
            let Some(end) = end else { return };
            let line = self.line.replace(Vec::new());
            if line.is_some_and(|line| self.is_it(&line))
                && let Some(seen) = self.seen.take()
            {
                // Nobody waits any more when the action is over already.
                let _over = seen.send(());
            }
            bytes = &bytes[end + 1..];
        }
    }

    fn add(&mut self, part: &[u8]) {
        let Some(line) = &mut self.line else { return };
        let room = LINE_BYTES - line.len();
        line.extend_from_slice(&part[..part.len().min(room)]);
        let common = line.len().min(ARTIFACT.len());
        if part.len() > room || line[..common] != ARTIFACT[..common] {
            self.line = None;
        }
    }

    fn is_it(&self, line: &[u8]) -> bool {
        serde_json::from_slice::<Artifact<'_>>(line).is_ok_and(|line| line.artifact == self.path)
    }
}

/// Captures the output that `noticed` tells of; `None` when there is nothing to hand out.
pub async fn capture(
    executor: &Executor,
    request: &Request,
    view: &View,
    noticed: Option<oneshot::Receiver<()>>,
) -> Option<OutputFile> {
    noticed?.await.ok()?;
    // Not for the stage: that would take the file away from the action.
    let collector = Collector {
        cas: &executor.cas,
        stage: None,
        places: &view.places,
        function: request.digest.function(),
        format: request.format,
        said: Said::default(),
        names: None,
    };
    match collector.collect(request.early.as_slice()).await {
        Ok(outputs) => {
            // Dependents may have begun by then; the action is run again.
            failpoint::reach_soon(Point::Announced);
            outputs.files.into_iter().next()
        }
        Err(err) => {
            // The action is not hurt: its dependents wait for its end instead.
            tracing::info!(action = %request.digest, %err, "an early output cannot be taken, ignoring");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::paths::Kind;

    fn notice() -> (Notice, oneshot::Receiver<()>) {
        let output =
            Output { declared: "../out/liba.rmeta".to_owned(), path: "vx/out/liba.rmeta".into(), kind: Kind::Any };
        Notice::of(&output, &Words::default())
    }

    const LINE: &str = "{\"$message_type\":\"artifact\",\"artifact\":\"/vx/out/liba.rmeta\",\"emit\":\"metadata\"}\n";

    #[test]
    fn the_notice_is_found_in_any_pieces() {
        for size in [1, 7, 4096] {
            let (mut notice, mut receiver) = notice();
            let text = format!("noise\n{{\"$message_type\":\"diagnostic\"}}\n{LINE}");
            for piece in text.as_bytes().chunks(size) {
                assert!(receiver.try_recv().is_err());
                notice.read(piece);
            }
            assert_eq!(receiver.try_recv(), Ok(()));
        }
    }

    #[test]
    fn other_words_are_no_notice() {
        let (mut notice, mut receiver) = notice();
        let long = " ".repeat(LINE_BYTES);
        for text in [
            LINE.replace("liba", "libb"),
            LINE.replace("/vx/out", "/vx/../vx/out"),
            format!("x{LINE}"),
            LINE.replace("\"emit\"", &format!("{long}\"emit\"")),
            LINE.trim_end().to_owned(),
        ] {
            notice.read(text.as_bytes());
            assert!(receiver.try_recv().is_err(), "{text}");
        }
    }
}
