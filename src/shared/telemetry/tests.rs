//! The log of a process as it can be asked: levels, fields of spans, bounds.

use super::*;

#[test]
fn words_of_syslog_become_filters() {
    for (level, expected) in [("err", "error"), ("warning", "warn"), ("notice", "info"), ("info", "info")] {
        assert_eq!(filter(level).as_deref(), Some(expected));
    }
    assert!(filter("debug").is_some_and(|filter| filter.starts_with("debug,")));
    assert_eq!(filter("loud"), None);
}

/// One test for what the process has one of.
#[test]
fn lines_are_remembered_with_the_fields_of_their_spans() {
    let log = start(Service::Cas);
    assert!(log.set_level("info"));
    assert!(!log.set_level("loud"), "no such word");
    let before = log.lines(0, limits::LOG_LINES).last().map_or(0, |line| line.number);
    let session = tracing::error_span!("session", vx_session = "s1");
    session.in_scope(|| {
        let build = tracing::error_span!("build", vx_build = tracing::field::Empty);
        build.record("vx_build", "b7");
        build.in_scope(|| tracing::warn!(slots = 4, message_id = "0", "few slots"));
        tracing::debug!("nobody asked");
    });
    let lines = log.lines(before, 10);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].text, "few slots slots=4 vx_build=b7 vx_session=s1");
    assert_eq!(lines[0].priority, 4);

    assert!(log.set_level("debug"));
    tracing::debug!("somebody asked");
    assert_eq!(log.lines(0, 1)[0].text, "somebody asked");
    log.flush();
    assert_eq!(log.dropped(), 0);
}

/// Each id has its paragraph, and none is left over.
#[test]
fn the_catalogue_has_every_message() {
    let catalogue = include_str!("../../../packaging/catalog/vx.catalog");
    let source = include_str!("messages.rs");
    let mut explained: Vec<&str> = catalogue.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
    let mut ids: Vec<&str> = source.lines().filter_map(|line| line.split('"').nth(1)).collect();
    explained.sort_unstable();
    ids.sort_unstable();
    assert_eq!(ids, explained);
    for id in &ids {
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    ids.dedup();
    assert_eq!(ids.len(), explained.len(), "each is its own");
}
