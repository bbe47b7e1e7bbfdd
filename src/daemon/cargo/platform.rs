//! The platforms of a plan: what rustc says of each under the flags that its units are compiled
//! with, and their linker. With `--target` there are two sorts of units, and those that run in the
//! build itself get none of the person's flags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    config::{Config, ConfigError},
    mounts::Mounts,
    probe::{Probe, Rustc},
    unit::Unit,
};

/// For what rustc is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Asked {
    /// The host, for which everything is built.
    Host,
    /// The host beside other targets: for scripts and macros.
    Tools,
    /// `--target`.
    Target(String),
}

impl Asked {
    /// What has to be asked where the person named these targets.
    pub fn all(targets: &[String], rustc: &Rustc) -> Vec<Asked> {
        if targets.is_empty() {
            return vec![Asked::Host];
        }
        let named = |target: &String| if target == HOST { rustc.host.clone() } else { target.clone() };
        let mut targets: Vec<String> = targets.iter().map(named).collect();
        targets.sort();
        targets.dedup();
        std::iter::once(Asked::Tools).chain(targets.into_iter().map(Asked::Target)).collect()
    }

    /// `--target` for rustc.
    pub fn target(&self) -> Option<&str> {
        match self {
            Asked::Host | Asked::Tools => None,
            Asked::Target(triple) => Some(triple),
        }
    }

    fn triple<'a>(&'a self, rustc: &'a Rustc) -> &'a str {
        self.target().unwrap_or(&rustc.host)
    }

    /// The flags of its units; without `cfg` those of cargo's first question.
    pub fn rustflags(
        &self,
        config: &Config,
        rustc: &Rustc,
        cfg: Option<&[cargo_platform::Cfg]>,
    ) -> Result<Vec<String>, ConfigError> {
        match self {
            Asked::Tools => Ok(Vec::new()),
            _ => config.rustflags(self.triple(rustc), cfg),
        }
    }
}

impl Asked {
    /// The flags of its rustdoc calls.
    fn rustdocflags(&self, config: &Config, triple: &str, probe: &Probe) -> Result<Vec<String>, ConfigError> {
        match self {
            Asked::Tools => Ok(Vec::new()),
            _ => config.rustdocflags(triple, &probe.cfg),
        }
    }
}

/// A name of the host, whichever it is.
const HOST: &str = "host-tuple";

/// One platform, as calls see it: paths at the fixed mounts.
#[derive(Debug, Clone)]
pub struct Platform {
    pub triple: String,
    pub probe: Probe,
    pub rustflags: Vec<String>,
    pub rustdocflags: Vec<String>,
    pub linker: Option<String>,
}

/// All of a plan's.
#[derive(Debug)]
pub struct Platforms {
    host: Platform,
    targets: BTreeMap<String, Platform>,
}

impl Platforms {
    /// From the answers; of several to one question the last. None where the host is not among them.
    pub fn new(
        probes: &[(Asked, Probe)],
        config: &Config,
        rustc: &Rustc,
        mounts: &Mounts,
    ) -> Result<Option<Self>, ConfigError> {
        let mut host = None;
        let mut targets = BTreeMap::new();
        for (asked, probe) in probes {
            let triple = asked.triple(rustc);
            let flags = asked.rustflags(config, rustc, Some(&probe.cfg))?;
            let platform = Platform {
                triple: triple.to_owned(),
                probe: probe.clone(),
                rustflags: flags.into_iter().map(|flag| mounts.to_fixed(&flag)).collect(),
                rustdocflags: asked
                    .rustdocflags(config, triple, probe)?
                    .iter()
                    .map(|flag| mounts.to_fixed(flag))
                    .collect(),
                linker: config.linker(triple, &probe.cfg)?.map(|linker| mounts.to_fixed(&linker)),
            };
            match asked {
                Asked::Host | Asked::Tools => host = Some(platform),
                Asked::Target(triple) => drop(targets.insert(triple.clone(), platform)),
            }
        }
        Ok(host.map(|host| Platforms { host, targets }))
    }

    /// The platform of a unit; one that was never asked about is refused before.
    pub fn of(&self, unit: &Unit) -> &Platform {
        unit.platform.as_ref().and_then(|triple| self.targets.get(triple)).unwrap_or(&self.host)
    }

    /// What the person built for: the targets that they named, else the host, which is none.
    pub fn asked(&self) -> Vec<Option<String>> {
        match self.targets.is_empty() {
            true => vec![None],
            false => self.targets.keys().cloned().map(Some).collect(),
        }
    }

    /// Whether it is known.
    pub fn has(&self, triple: Option<&str>) -> bool {
        triple.is_none_or(|triple| self.targets.contains_key(triple))
    }
}
