//! What became of an action, as the API writes it: ActionResult, ExecuteResponse, and the result
//! that the action cache holds already.

use std::time::{Duration, SystemTime};

use shared::{
    config::Rung,
    digest::Digest,
    limits,
    reapi::{
        self, any, digest_to_proto, protobuf,
        record::{self, EarlyOutput, RunRecord},
        tree::Mode,
        v2,
    },
};

use super::status;
use crate::{
    action::{Done, Request, Stream},
    collect::{OutputDirectory, OutputFile, Outputs},
    executor::Executor,
    observed::Seen,
    refusal::Refusal,
    view::paths::Kind,
};

/// The response to an action that was run, or not.
pub fn respond(outcome: Result<&Done, &Refusal>) -> v2::ExecuteResponse {
    match outcome {
        Ok(done) => v2::ExecuteResponse {
            result: Some(result(done)),
            status: done.ending.refusal().map(|refusal| status::rpc(&refusal)),
            message: done.ending.words(),
            ..Default::default()
        },
        Err(refusal) => v2::ExecuteResponse { status: Some(status::rpc(refusal)), ..Default::default() },
    }
}

/// The result, small streams inside.
fn result(done: &Done) -> v2::ActionResult {
    let raw = |stream: &Stream| match stream.bytes.len() {
        0..=limits::INLINE_STREAM_BYTES => stream.bytes.clone(),
        _ => Vec::new(),
    };
    let mut result = v2::ActionResult {
        exit_code: done.ending.code(),
        stdout_digest: Some(digest_to_proto(&done.stdout.digest)),
        stdout_raw: raw(&done.stdout),
        stderr_digest: Some(digest_to_proto(&done.stderr.digest)),
        stderr_raw: raw(&done.stderr),
        execution_metadata: Some(metadata(done)),
        ..Default::default()
    };
    name_outputs(&done.outputs, &mut result);
    result
}

/// The result as it is stored: streams by digest only.
pub fn stored(done: &Done) -> v2::ActionResult {
    v2::ActionResult { stdout_raw: Vec::new(), stderr_raw: Vec::new(), ..result(done) }
}

#[allow(deprecated, reason = "clients of API 2.0 look for links in the two older lists")]
fn name_outputs(outputs: &Outputs, result: &mut v2::ActionResult) {
    let directory = |directory: &OutputDirectory| v2::OutputDirectory {
        path: directory.path.clone(),
        tree_digest: directory.tree.as_ref().map(digest_to_proto),
        root_directory_digest: directory.root.as_ref().map(digest_to_proto),
        is_topologically_sorted: true,
    };
    result.output_files = outputs.files.iter().map(self::file).collect();
    result.output_directories = outputs.directories.iter().map(directory).collect();
    for found in &outputs.links {
        let link = v2::OutputSymlink { path: found.path.clone(), target: found.target.clone(), node_properties: None };
        match found.kind {
            Kind::Any => result.output_symlinks.push(link),
            Kind::File => result.output_file_symlinks.push(link),
            Kind::Directory => result.output_directory_symlinks.push(link),
        }
    }
}

fn file(file: &OutputFile) -> v2::OutputFile {
    v2::OutputFile {
        path: file.path.clone(),
        digest: Some(digest_to_proto(&file.digest)),
        is_executable: file.mode == Mode::Executable,
        node_properties: file.properties.message(),
        ..Default::default()
    }
}

/// What is known of an action that still runs: its early output.
pub fn partial(early: &OutputFile) -> v2::ExecutedActionMetadata {
    let early = EarlyOutput { file: Some(file(early)) };
    v2::ExecutedActionMetadata { auxiliary_metadata: vec![any::pack(&early)], ..Default::default() }
}

fn metadata(done: &Done) -> v2::ExecutedActionMetadata {
    let times = &done.times;
    let early = times.early.and_then(|early| early.duration_since(times.began).ok());
    let wall = times.over.duration_since(times.began).unwrap_or_default();
    let nothing = Seen::default();
    let seen = done.seen.as_ref().unwrap_or(&nothing);
    let record = RunRecord {
        rung: done.rung.name().to_owned(),
        view: done.view.to_owned(),
        cpu_us: micros(done.usage.cpu),
        max_rss_bytes: done.usage.max_rss_bytes,
        wall_us: micros(wall),
        opened: seen.opened.iter().cloned().collect(),
        listed: seen.listed.iter().cloned().collect(),
        wrote: seen.wrote.iter().cloned().collect(),
        tried: done.heard.tried.clone(),
        unheard: done.heard.unheard.clone().unwrap_or_default(),
        tools: done.heard.tools.iter().cloned().collect(),
        granted: done.granted.clone(),
        unseen: seen.unseen.clone().unwrap_or_default(),
        naming: done.outputs.naming.clone().unwrap_or_default(),
        searched: done.outputs.naming.is_some(),
        early_us: early.map_or(0, micros),
    };
    v2::ExecutedActionMetadata {
        worker: "vx-execd".to_owned(),
        queued_timestamp: stamp(times.queued),
        worker_start_timestamp: stamp(times.worker),
        input_fetch_start_timestamp: stamp(times.worker),
        input_fetch_completed_timestamp: stamp(times.fetched),
        execution_start_timestamp: stamp(times.began),
        execution_completed_timestamp: stamp(times.over),
        output_upload_start_timestamp: stamp(times.over),
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

fn stamp(time: SystemTime) -> Option<protobuf::Timestamp> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(protobuf::Timestamp {
        seconds: i64::try_from(since.as_secs()).ok()?,
        nanos: i32::try_from(since.subsec_nanos()).ok()?,
    })
}

/// A result that is already there.
pub async fn cached(executor: &Executor, request: &Request) -> Result<Option<v2::ExecuteResponse>, Refusal> {
    let Some(mut result) = executor.cas.action_result(request.digest).await? else { return Ok(None) };
    // What ran without namespaces saw the whole machine: it never answers for what sees only its
    // inputs, nor the other way round. A result without a record came from a client.
    let rung = executor.ladder.rung;
    let serves = |record: RunRecord| match rung {
        Rung::Full | Rung::Namespaces => record.view == "fixed",
        Rung::Landlock | Rung::Process => record.rung == rung.name(),
    };
    if record::of(&result).is_some_and(|record| !serves(record)) {
        return Ok(None);
    }
    let function = request.digest.function();
    for (raw, digest) in
        [(&mut result.stdout_raw, &result.stdout_digest), (&mut result.stderr_raw, &result.stderr_digest)]
    {
        let parsed = digest.as_ref().and_then(|digest| reapi::digest_from_proto(function, Some(digest)).ok());
        let small = |digest: &Digest| (1..=limits::INLINE_STREAM_BYTES as u64).contains(&digest.size());
        if let (true, Some(digest)) = (raw.is_empty(), parsed.filter(small)) {
            *raw = executor.cas.read(digest).await?;
        }
    }
    Ok(Some(v2::ExecuteResponse { result: Some(result), cached_result: true, ..Default::default() }))
}
