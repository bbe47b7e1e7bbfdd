//! What rustc says of a platform before a build: asked as often as the flags, which may depend on the
//! answer, need it.

use shared::{
    client::exec::{CargoKind, Exit},
    fault::{Failure, Fault},
};

use crate::{
    cargo::{
        config::Config,
        decides::{ProbeAnswer, Question},
        platform::Asked,
        probe::{Probe, Rustc},
    },
    services::Services,
    workspace::{Heard, NoPlan, hear, parsed, succeeded},
};

/// All of rustc's answers about one platform, in the order in which they were asked.
pub async fn probe(
    services: &Services,
    question: &Question,
    config: &Config,
    rustc: &Rustc,
    asked: &Asked,
) -> Result<Vec<ProbeAnswer>, NoPlan> {
    let (mut answers, mut known) = (Vec::new(), Vec::new());
    while let Some(rustflags) = parsed(Probe::next(asked, config, rustc, &known))? {
        let heard = hear(services, question, CargoKind::Probe, Probe::args(asked, &rustflags)).await?;
        let heard = learned(heard, &question.toolchain.rustc(), &Probe::args(asked, &rustflags))?;
        known.push(parsed(Probe::parse(&rustflags, &heard.stdout, &heard.stderr))?);
        answers.push(ProbeAnswer { asked: asked.clone(), rustflags, stdout: heard.stdout, stderr: heard.stderr });
    }
    Ok(answers)
}

/// The same of rustc's answer about a target, in cargo's words where there is none.
fn learned(heard: Heard, rustc: &str, args: &[String]) -> Result<Heard, NoPlan> {
    let Exit::Code(code @ 1..) = heard.exit else { return succeeded(heard) };
    let indented: String = heard.stderr.trim_end().lines().map(|line| format!("\n  {line}")).collect();
    let what = format!(
        "failed to run `rustc` to learn about target-specific information\n\nCaused by:\n  \
         process didn't exit successfully: `{rustc} {}` (exit status: {code})\n  --- stderr{indented}\n",
        args.join(" ")
    );
    Err(Failure::new(Fault::User, what).into())
}
