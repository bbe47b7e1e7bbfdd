//! A call that may be kept, from its words to its files: what it needs is gathered, its Action is
//! looked up or run, and what came of it is judged before cargo gets it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use shared::{
    client::exec::{Identity, ViewClass},
    digest::Digest,
    fault::Failure,
    reapi::v2,
    wire::text::Text,
};
use tokio::sync::mpsc;

use super::{
    Asked, Whose,
    closure::{self, Library},
    inputs::Inputs,
    judge::{self, Verdict},
    land::land,
    notes::Note,
    own::Own,
    result::Left,
};
use crate::{
    action::{self, Action},
    cargo::{
        call::Call,
        config::Config,
        dep_info::DepInfo,
        environment::Ambient,
        files,
        mounts::{DEPS, OUT, TOOLCHAIN},
        placed::Standing,
        toolchain,
        wrapped::{OUT_DIR, OutDir, Plain, Seen, Speech, first_error, named_by_script},
    },
    daemon::Daemon,
    events::Wrapped,
    execute::{self, Brings},
    live::Scan,
    services::{Services, persist},
    session::Session,
    streams,
};

/// How often a call runs again, seeing more.
const ATTEMPTS: usize = 4;

/// One call.
pub(super) struct Work<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) config: &'a shared::config::Config,
    pub(super) session: &'a Session,
    pub(super) services: &'a Services,
    pub(super) asked: &'a Asked,
}

/// What its Action is made of.
struct Ready {
    toolchain: PathBuf,
    identity: Identity,
    inputs: Arc<Inputs>,
    ambient: Ambient,
    /// Variables that its package's script sets, or the person's configuration.
    set: Vec<String>,
    out_dir: Option<OutDir>,
    loads_macros: bool,
    /// Variables that its macros name in their text.
    mentioned: BTreeSet<String>,
}

/// A result, and whence it came.
struct Came {
    result: v2::ActionResult,
    /// The person's workspace before it was run, where it was run and saw that.
    before: Option<Arc<Scan>>,
    end: Wrapped,
}

fn unfit(failure: impl Into<Failure>) -> Plain {
    Plain::Unfit(failure.into().to_string())
}

impl Work<'_> {
    /// Gives cargo what the call leaves; `None` when it was cancelled.
    pub(super) async fn keep(&self, words: &[Text]) -> Result<Option<Wrapped>, Plain> {
        let ready = self.ready(words).await?;
        let (notes, base) = (&self.daemon.wrapped.notes, self.action(&ready, &Note::default())?.1.digest);
        if notes.has_failed(&base) {
            return Err(Plain::Unfit("it failed as an action before".to_owned()));
        }
        // However long it takes, what is found is there when it is placed.
        let _lease = self.services.cas.hold();
        let own = self.own(base).await?;
        let kept = notes.of(self.services, &base).await.map_err(unfit)?;
        let mut note = kept.clone().unwrap_or_default();
        let mut has_run = false;
        for _ in 0..ATTEMPTS {
            let (call, action) = self.action(&ready, &note)?;
            let Some(came) = self.come(&ready, own.as_ref(), (&call, &action)).await? else { return Ok(None) };
            has_run |= came.end == Wrapped::Built;
            if came.result.exit_code != 0 {
                self.remember_failed(base);
                return Err(self.failed(&came.result).await);
            }
            let left = Left::of(self.services, &call, &came.result).await.map_err(unfit)?;
            let left = left.ok_or_else(|| Plain::Unfit("its result lacks a file".to_owned()))?;
            let judged = kept.as_ref().filter(|_| came.end == Wrapped::Hit);
            match self.judge(&ready, (&call, &left), note.clone(), judged).await? {
                Verdict::Good(now) => {
                    if kept.as_ref() != Some(&now) {
                        notes.keep(self.services, base, &now).await.map_err(unfit)?;
                    }
                    if let (Some(own), Some(before)) = (&own, came.before) {
                        let base = self.action(&ready, &now)?.1.digest;
                        let kept = own.keep(self.services, (&call, &base), &came.result, (&now, before)).await;
                        kept.map_err(unfit)?.map_or(Ok(()), |why| Err(Plain::Unfit(why)))?;
                    }
                    self.give(&ready, &call, &left).await?;
                    return Ok(Some(if has_run { Wrapped::Built } else { Wrapped::Hit }));
                }
                Verdict::Again(more) => note = more,
                Verdict::Unfit(why) => {
                    self.remember_failed(base);
                    return Err(Plain::Unfit(why));
                }
            }
        }
        Err(Plain::Unfit("it names more with each run".to_owned()))
    }

    /// Why a call that failed as an action is not kept, in the compiler's words.
    async fn failed(&self, result: &v2::ActionResult) -> Plain {
        let said = streams::of(self.services, &[result]).await.ok().and_then(|mut all| all.pop().flatten());
        let error = said.map(|said| first_error(&String::from_utf8_lossy(&said.stderr))).unwrap_or_default();
        Plain::Unfit(format!("it ended with {} as an action: {error}", result.exit_code))
    }

    /// What a person's own package comes to changes with every edit.
    fn remember_failed(&self, base: Digest) {
        if self.asked.whose == Whose::Others {
            self.daemon.wrapped.notes.failed(base);
        }
    }

    /// The workspace, where the call is for a package in it.
    async fn own(&self, base: Digest) -> Result<Option<Own>, Plain> {
        if self.asked.whose == Whose::Others {
            return Ok(None);
        }
        let folders = (self.asked.home.real.as_path(), self.asked.compile.out_dir.as_path());
        Own::of(self.services, &self.daemon.hashes, folders, base).await.map(Some).map_err(unfit)
    }

    /// The result, found or run; `None` when it was cancelled.
    async fn come(
        &self,
        ready: &Ready,
        own: Option<&Own>,
        (call, action): (&Call, &Action),
    ) -> Result<Option<Came>, Plain> {
        let found = match own {
            Some(own) => own.found(self.services, &action.digest).await.map_err(unfit)?,
            None => self.found(&action.digest).await?,
        };
        if let Some(result) = found {
            return Ok(Some(Came { result, before: None, end: Wrapped::Hit }));
        }
        let (before, ran) = match own {
            None => (None, self.run(ready, action).await?),
            Some(own) => {
                let before = own.checkout.scan().await.map_err(unfit)?;
                let live = action::build(call, &ready.inputs.placed(), &ready.identity, Some(&own.checkout));
                let live = live.map_err(|err| Plain::Unfit(err.to_string()))?;
                (Some(before), self.run(ready, &live).await?)
            }
        };
        Ok(ran.map(|result| Came { result, before, end: Wrapped::Built }))
    }

    async fn ready(&self, words: &[Text]) -> Result<Ready, Plain> {
        let Asked { compile, home, .. } = self.asked;
        let environment = &self.session.environment;
        let toolchain = self.toolchain(words.first().and_then(Text::as_str).unwrap_or_default())?;
        let identify = async || self.services.exec.identify(&toolchain).await;
        let identity = persist(identify).await.map_err(unfit)?;
        if identity.view != ViewClass::Fixed {
            return Err(Plain::Unfit("the executor has no namespaces".to_owned()));
        }
        let libraries = self.daemon.wrapped.closures.of(self.services, &self.daemon.hashes, compile).await?;
        let out_dir = environment.get(OUT_DIR).map(|path| {
            let around = OutDir::around(Path::new(path)).filter(|(_, below)| below.is_empty());
            around.map(|(out_dir, _)| out_dir).ok_or_else(|| Plain::Unfit(format!("its OUT_DIR is {path}")))
        });
        let out_dir = out_dir.transpose()?;
        let said = out_dir.as_ref().and_then(|out_dir| files::text(&out_dir.said_at()).ok()).unwrap_or_default();
        let loads_macros = closure::loads_macros(&libraries);
        let ambient = Ambient::new(environment.clone(), self.config.env.pass.clone());
        let mentioned = self.mentioned(&ambient, &libraries).await.map_err(unfit)?;
        Ok(Ready {
            toolchain,
            identity,
            inputs: Arc::new(self.inputs(home, out_dir.as_ref(), libraries).await?),
            ambient: ambient.with_folders(&self.config.host.show),
            set: [named_by_script(&said), self.set_by_configuration()?].concat(),
            out_dir,
            loads_macros,
            mentioned,
        })
    }

    async fn mentioned(&self, ambient: &Ambient, libraries: &[Library]) -> Result<BTreeSet<String>, Failure> {
        let loaded = libraries.iter().filter(|library| closure::is_loaded(library));
        let loaded: Vec<_> = loaded.map(|library| (library.digest, Some(library.path.as_path()))).collect();
        let named = self.daemon.mentions.of(self.services, &ambient.for_who_mentions(), &loaded).await?;
        Ok(named.into_values().flatten().filter(|name| !Ambient::is_chance(name)).collect())
    }

    /// The variables of cargo's `[env]`, for what is compiled in the folder of that.
    fn set_by_configuration(&self) -> Result<Vec<String>, Plain> {
        if self.asked.whose == Whose::Others {
            return Ok(Vec::new());
        }
        let (environment, cwd) = (&self.session.environment, &self.session.cwd);
        let cargo_home = super::cargo_home(environment).unwrap_or_default();
        let config = Config::load(&files::Disk::default(), cwd, &cargo_home, environment, &[]);
        let set = config.and_then(|config| config.env()).map_err(|err| Plain::Unfit(err.to_string()))?;
        Ok(set.into_keys().collect())
    }

    async fn inputs(
        &self,
        home: &crate::cargo::wrapped::Home,
        out_dir: Option<&OutDir>,
        libraries: Vec<Library>,
    ) -> Result<Inputs, Plain> {
        let compile = &self.asked.compile;
        let natives = compile.natives.iter().filter(|_| compile.reads_libraries());
        let mut folders: Vec<OutDir> = natives.chain(out_dir).cloned().collect();
        if self.asked.whose == Whose::Others {
            folders.push(OutDir { real: home.real.clone(), mount: home.mount.clone() });
        }
        folders.sort();
        folders.dedup();
        let mut mounts: Vec<&str> = folders.iter().map(|folder| folder.mount.as_str()).collect();
        mounts.sort_unstable();
        if mounts.windows(2).any(|two| two[0] == two[1]) {
            return Err(Plain::Unfit("two folders of it have one name".to_owned()));
        }
        Inputs::gather(&self.daemon.hashes, folders, libraries).await.map_err(unfit)
    }

    /// The folder of the toolchain that a compiler belongs to.
    fn toolchain(&self, program: &str) -> Result<PathBuf, Plain> {
        let (environment, cwd) = (&self.session.environment, &self.session.cwd);
        let found = toolchain::of_compiler(environment, cwd, program).map_err(unfit)?;
        found.ok_or_else(|| Plain::Unfit(format!("{program} belongs to no toolchain")))
    }

    fn action(&self, ready: &Ready, note: &Note) -> Result<(Call, Action), Plain> {
        let call = self.asked.compile.call(&Seen {
            home: &self.asked.home,
            toolchain: &ready.toolchain,
            cwd: &self.session.cwd,
            environment: &self.session.environment,
            ambient: &ready.ambient,
            set: &ready.set,
            out_dir: ready.out_dir.as_ref(),
            loads_macros: ready.loads_macros,
            named: &note.variables,
            mentioned: &ready.mentioned,
            standing: if note.placed { Standing::Here } else { Standing::Anywhere },
        });
        let built = action::build(&call, &ready.inputs.placed(), &ready.identity, None);
        let action = built.map_err(|err| Plain::Unfit(err.to_string()))?;
        Ok((call, action))
    }

    async fn found(&self, action: &Digest) -> Result<Option<v2::ActionResult>, Plain> {
        let found = persist(async || self.services.cas.action_result(*action).await).await.map_err(unfit)?;
        Ok(found.filter(|result| result.exit_code == 0))
    }

    async fn run(&self, ready: &Ready, action: &Action) -> Result<Option<v2::ActionResult>, Plain> {
        let _running = self.daemon.counters.run();
        // Nobody starts on a library before the call is over.
        let (nobody, _) = mpsc::channel(1);
        let work = execute::Work {
            services: self.services.clone(),
            executing: Arc::clone(&self.daemon.executing),
            brings: Brings::Wrapped(Arc::clone(&ready.inputs)),
            toolchain: ready.toolchain.clone(),
            identity: ready.identity.clone(),
            cancel: self.session.cancel.clone(),
            early: (0, nobody),
        };
        work.run(action).await.map_err(unfit)
    }

    async fn judge(
        &self,
        ready: &Ready,
        (call, left): (&Call, &Left),
        note: Note,
        kept: Option<&Note>,
    ) -> Result<Verdict, Plain> {
        let info = DepInfo::parse(&left.dep_info);
        let scripts = ready.out_dir.iter().flat_map(|one| [one.real.as_path(), Path::new(&one.mount)]);
        let shown: Vec<&Path> = scripts.chain([self.asked.home.real.as_path()]).collect();
        if let Some(file) = judge::reads_elsewhere(&info, &self.session.cwd, &shown) {
            return Ok(Verdict::Unfit(format!("its crate reads {file}")));
        }
        match judge::variables(&info, call, &self.session.environment, &note) {
            // Looked at when the note was made.
            Verdict::Good(now) if kept == Some(&now) => Ok(Verdict::Good(now)),
            Verdict::Good(now) => {
                let made = left.made(call);
                judge::places(self.services, &info, &made, ready.out_dir.as_ref(), now).await.map_err(unfit)
            }
            other => Ok(other),
        }
    }

    /// Places what is there, and remembers what its libraries were compiled against.
    async fn give(&self, ready: &Ready, call: &Call, left: &Left) -> Result<(), Plain> {
        let compile = &self.asked.compile;
        let mut pairs: Vec<(&Path, &str)> = vec![(&compile.out_dir, OUT), (&ready.toolchain, TOOLCHAIN)];
        pairs.extend(compile.searched.first().map(|folder| (folder.as_path(), DEPS)));
        let scripts = compile.natives.iter().chain(&ready.out_dir);
        pairs.extend(scripts.map(|folder| (folder.real.as_path(), folder.mount.as_str())));
        pairs.push((&self.asked.home.real, &self.asked.home.mount));
        let no_speech = || Plain::Unfit("a folder of it has a name that is hard to write".to_owned());
        let speech = Speech::new(&pairs).ok_or_else(no_speech)?;
        let closures = &self.daemon.wrapped.closures;
        closures.learn(self.services, compile, &left.libraries(call)).await;
        let (hashes, ground) = (&self.daemon.hashes, &self.session.ground);
        land(self.services, hashes, ground, &compile.out_dir, (call, left, &speech)).await.map_err(unfit)
    }
}
