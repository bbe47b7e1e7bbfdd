//! `vx build` and `vx check` from words to files: toolchain, plan, inputs, the build, the placing, the last line.

use std::{sync::Arc, time::Instant};

use shared::{
    client::exec::Identity,
    config::Config,
    fault::{Failure, exit},
};

use crate::{
    after::{self, Built, Next},
    cargo::{
        clippy,
        collisions::Collision,
        decides::Question,
        diagnostics::{Verbosity, Voice},
        doc_checks, doctest,
        environment::Ambient,
        files::Disk,
        locate::locate,
        messages::Success,
        mounts,
        plan::Plan,
        select::TargetChoice,
        toolchain,
    },
    cli::Request,
    daemon::Daemon,
    events::Listener,
    exceptions::Exceptions,
    inputs::Inputs,
    look::{Look, Surface},
    place::{Mask, More, place},
    run::{Runner, Surroundings, Verdict},
    services::{Services, persist},
    session::Session,
    terminal::{Placed, Terminal},
    workspace::NoPlan,
};

/// Runs the word; the exit code.
pub async fn run(daemon: &Daemon, config: &Config, mut session: Session, request: &Request) -> u8 {
    let began = Instant::now();
    daemon.counters.build();
    let prepared = prepare(&mut session, request);
    let session = &session;
    let outcome = tokio::select! {
        outcome = async {
            let (question, look) = prepared?;
            build(daemon, config, session, request, question, &look, began).await
        } => outcome,
        () = cancelled_late(session) => Ok(exit::INTERRUPTED),
    };
    let code = match outcome {
        Ok(code) => code,
        Err(NoPlan::Said(text, code)) => {
            session.output.coloured(&text).await;
            code
        }
        Err(NoPlan::Failure(failure, code)) => {
            session.output.error(&failure.to_string()).await;
            code
        }
    };
    tracing::info!(exit = code, duration_ms = began.elapsed().as_millis(), "a build has ended");
    code
}

/// The dispatcher ends its actions when the build is cancelled; only what does not end by itself
/// within a moment is dropped.
pub async fn cancelled_late(session: &Session) {
    session.cancel.cancelled().await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
}

async fn build(
    daemon: &Daemon,
    config: &Config,
    session: &Session,
    request: &Request,
    question: Question,
    look: &Look,
    began: Instant,
) -> Result<u8, NoPlan> {
    // Nothing that begins in here has to end in order.
    let ready = session.cancel.run_until_cancelled(get_ready(daemon, session, question, request, look)).await;
    let Some(ready) = ready else { return Ok(exit::INTERRUPTED) };
    let Ready { services, identity, plan, inputs, next, jobs } = ready?;
    let verbosity = look.verbosity;
    let terminal = Arc::new(Terminal::new(session.output.clone(), look.clone(), &plan, began));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let exceptions = Exceptions::gather(&config.sandbox.exception, &plan, &daemon.hashes).await?;
    let around = Surroundings {
        exceptions,
        hashes: Arc::clone(&daemon.hashes),
        services,
        identity,
        executing: Arc::clone(&daemon.executing),
        flights: Arc::clone(&daemon.flights),
        names: Arc::clone(&daemon.names),
        mentions: Arc::clone(&daemon.mentions),
        history: Arc::clone(&daemon.history),
        why: Arc::clone(&daemon.why),
        audit: Arc::clone(&daemon.audit),
        listeners: vec![Arc::clone(&daemon.counters) as Arc<dyn Listener>, Arc::clone(&terminal) as _],
        ambient: ambient(session, config, &plan),
        jobs: request.common.jobs.jobs(jobs.as_deref(), cores).map_err(|what| usage(&what))?,
        after_failure: request.failure.after_failure(),
        rendering: look.format.rendering,
        cancel: session.cancel.clone(),
    };
    let voice = Voice::new(session.output.colour.into(), verbosity, look.format.messages);
    let mut runner = Runner::new(&around, &plan, &inputs, voice);
    let verdict = tokio::select! {
        verdict = runner.run(terminal.as_ref()) => verdict?,
        never = terminal.paint() => match never {},
    };
    session.output.progress_ends().await;
    let (messages, mask) = (look.format.messages, Mask::of(session.ground.umask));
    match verdict {
        Verdict::Cancelled => Ok(exit::INTERRUPTED),
        Verdict::Failed => {
            // What is there is the person's, as it is cargo's way.
            let (services, hashes, more) = (&around.services, &daemon.hashes, More::nothing(mask));
            let placed = place(services, hashes, &plan, &runner, &more, &session.output, messages).await;
            terminal.finished(messages, Success::No, placed.is_ok().then_some(Placed)).await;
            placed?;
            terminal.warn().await;
            Ok(exit::CARGO_FAILED)
        }
        Verdict::Built => {
            let (services, hashes) = (&around.services, &daemon.hashes);
            let libraries = next.documented().into_iter().flat_map(|one| doctest::placements(&plan, plan.unit(one)));
            let more = More { looked_into: runner.looked_into(&next.programs()), libraries: libraries.collect(), mask };
            let placed = place(services, hashes, &plan, &runner, &more, &session.output, messages).await;
            let success = if placed.is_ok() { Success::Yes } else { Success::No };
            terminal.finished(messages, success, placed.is_ok().then_some(Placed)).await;
            placed?;
            terminal.close().await;
            terminal.warn().await;
            let (said, format) = (runner.said(), look.format);
            after::go_on(&Built { session, services, plan: &plan, said, verbosity, format }, &next, &request.then).await
        }
    }
}

/// What is known when the dispatcher begins.
struct Ready {
    services: Services,
    identity: Identity,
    plan: Arc<Plan>,
    inputs: Arc<Inputs>,
    next: Next,
    jobs: Option<String>,
}

/// What of the person's environment its calls are given.
fn ambient(session: &Session, config: &Config, plan: &Plan) -> Ambient {
    Ambient::new(session.environment.clone(), config.env.pass.clone())
        .with_folders(&config.host.show)
        .with_toolchain(&plan.mounts.real_path(mounts::TOOLCHAIN))
}

async fn get_ready(
    daemon: &Daemon,
    session: &Session,
    question: Question,
    request: &Request,
    look: &Look,
) -> Result<Ready, NoPlan> {
    // Of this build alone: a standing connection would keep an idle service from leaving.
    let services = Services::local()?.of_build(&session.run);
    let identify = async || services.exec.identify(&question.toolchain.path).await;
    let identity = persist(identify).await.map_err(Failure::from)?;
    let mut question = Question { toolchain_identity: identity.toolchain.clone(), ..question };
    let stderr = session.ground.stderr();
    let mut planned = daemon.plans.plan(&services, &question, stderr).await?;
    let mut next = after::decide(&request.then, &question, &planned.plan)?;
    if let Next::Narrow(name) = next {
        question.selection.targets = vec![TargetChoice::Bin(name)];
        planned = daemon.plans.plan(&services, &question, stderr).await?;
        next = after::decide(&request.then, &question, &planned.plan)?;
    }
    if look.verbosity != Verbosity::Quiet {
        for note in &planned.notes {
            session.output.warning(note).await;
        }
        session.output.coloured(&planned.said).await;
    }
    let (plan, jobs) = (planned.plan, planned.jobs);
    let of_pages = doc_checks::check(&plan).map_err(|what| usage(&what))?;
    for collision in of_pages.iter().map(Collision::text).chain(planned.collisions.iter().cloned()) {
        session.output.warning(&collision).await;
    }
    let inputs = Arc::new(Inputs::gather(&services, &daemon.hashes, &plan, identity.view).await?);
    Ok(Ready { services, identity, plan, inputs, next, jobs })
}

/// A failure in cargo's way, told to the person.
pub fn usage(what: &str) -> NoPlan {
    NoPlan::Failure(Failure::new(shared::fault::Fault::User, what), exit::CARGO_FAILED)
}

/// What is asked, and what the answer looks like: known before anything is done.
pub fn prepare(session: &mut Session, request: &Request) -> Result<(Question, Look), NoPlan> {
    let surface = Surface::of(session.output.screen());
    let environment = &session.environment;
    let located = locate(&session.cwd, request.manifest_path().map(|path| path.as_path()))?;
    request.packages.check().map_err(|what| usage(&what))?;
    let toolchain = toolchain::find(environment, &session.cwd, session.plus.as_deref())
        // As rustup, which cargo is not reached behind.
        .map_err(|failure| NoPlan::Failure(failure, exit::FAILED))?;
    let mut question = Question {
        selection: request.selection(&located.manifest),
        located,
        cwd: session.cwd.clone(),
        toolchain,
        toolchain_identity: String::new(),
        environment: environment.clone(),
        verbosity: Verbosity::Normal,
    };
    let config = question.config(&Disk::default()).map_err(|err| usage(&err.to_string()))?;
    let look = Look::resolve(&request.common.output, &config, environment, surface).map_err(|what| usage(&what))?;
    session.output.colour = look.colour;
    question.verbosity = look.verbosity;
    if request.clippy.is_some()
        && let Some(obstacle) = clippy::obstacle(&question.toolchain.path, &question.located.root, environment)
    {
        return Err(NoPlan::Failure(obstacle, exit::FAILED));
    }
    Ok((question, look))
}
