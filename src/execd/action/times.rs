//! When an action went through its stages and what it used, as the result carries it.

use std::time::{Duration, SystemTime};

use shared::{
    config::Rung,
    reapi::{any, protobuf, record::RunRecord, v2},
};

use super::Run;

#[derive(Default)]
/// When each stage was reached.
pub struct Times {
    pub queued: Option<SystemTime>,
    pub worker: Option<SystemTime>,
    pub fetched: Option<SystemTime>,
    pub uploaded: Option<SystemTime>,
}

/// The result's metadata.
pub fn metadata(times: &Times, run: &Run, rung: Rung, view: &str) -> v2::ExecutedActionMetadata {
    let wall = run.over.duration_since(run.began).unwrap_or_default();
    let record = RunRecord {
        rung: rung.name().to_owned(),
        view: view.to_owned(),
        cpu_us: micros(run.usage.cpu),
        max_rss_bytes: run.usage.max_rss_bytes,
        wall_us: micros(wall),
    };
    let (began, over) = (stamp(Some(run.began)), stamp(Some(run.over)));
    v2::ExecutedActionMetadata {
        worker: "vx-execd".to_owned(),
        queued_timestamp: stamp(times.queued),
        worker_start_timestamp: stamp(times.worker),
        input_fetch_start_timestamp: stamp(times.worker),
        input_fetch_completed_timestamp: stamp(times.fetched),
        execution_start_timestamp: began,
        execution_completed_timestamp: over,
        output_upload_start_timestamp: over,
        output_upload_completed_timestamp: stamp(times.uploaded),
        worker_completed_timestamp: stamp(times.uploaded),
        virtual_execution_duration: Some(protobuf::Duration {
            seconds: i64::try_from(wall.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(wall.subsec_nanos()).unwrap_or(0),
        }),
        auxiliary_metadata: vec![any::pack(&record)],
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn stamp(time: Option<SystemTime>) -> Option<protobuf::Timestamp> {
    let since = time?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(protobuf::Timestamp {
        seconds: i64::try_from(since.as_secs()).ok()?,
        nanos: i32::try_from(since.subsec_nanos()).ok()?,
    })
}
