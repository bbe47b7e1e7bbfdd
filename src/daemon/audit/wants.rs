//! What scripts and macros of a package want, version by version: a package that is new among the
//! others, or a version that wants more than the one before it, is news. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use shared::{limits, reapi::record::GRANTED};

use super::{Entry, Tried};

/// So many things that are wanted are named in a line.
const SHOWN: usize = 4;

/// By `NAME (what ran)`: what each version wanted that was in the last build of it.
pub type Wants = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What of an attempt is compared. Addresses of one name differ from day to day.
fn want(tried: &Tried) -> Option<String> {
    let is_wanted = tried.is_telling() || tried.answer == GRANTED;
    let what = match tried.what.parse::<SocketAddr>() {
        Ok(_) => "the network",
        Err(_) => &tried.what,
    };
    is_wanted.then(|| format!("{} {what}", tried.verb()))
}

/// What an entry wants.
pub fn of(entry: &Entry) -> BTreeSet<String> {
    entry.tried.iter().filter_map(want).collect()
}

/// The first few in a line; `vx audit` has them all.
fn joined(wants: &[String]) -> String {
    match wants.split_at_checked(SHOWN) {
        Some((first, more)) if !more.is_empty() => format!("{} and {} more", first.join(", "), more.len()),
        _ => wants.join(", "),
    }
}

/// Takes in what a build has heard, by `NAME vVERSION (what ran)`; what of it is news.
pub fn learn(known: &mut Wants, entries: &BTreeMap<String, Entry>) -> Vec<String> {
    let was_empty = known.is_empty();
    let mut now = Wants::new();
    for (name, entry) in entries {
        let Some((package, rest)) = name.split_once(" v") else { continue };
        let Some((version, what)) = rest.split_once(' ') else { continue };
        now.entry(format!("{package} {what}")).or_default().insert(version.to_owned(), of(entry));
    }
    let mut news = Vec::new();
    for (name, versions) in now {
        let before = known.insert(name.clone(), versions.clone());
        let (package, what) = name.split_once(' ').unwrap_or((&name, ""));
        let what = what.trim_matches(['(', ')']);
        for (version, wants) in versions {
            let (more, who) = match &before {
                None if was_empty => continue,
                None => (wants, "it is new here".to_owned()),
                Some(before) if before.contains_key(&version) => continue,
                Some(before) => {
                    let had: BTreeSet<&String> = before.values().flatten().collect();
                    let last = before.keys().cloned().collect::<Vec<_>>().join(", ");
                    (wants.into_iter().filter(|want| !had.contains(want)).collect(), format!("{last} did not"))
                }
            };
            if !more.is_empty() {
                let more = joined(&Vec::from_iter(more));
                news.push(format!("{package}@{version}: its {what} wants to {more}; {who}"));
            }
        }
    }
    while known.len() > limits::WHY_UNITS {
        known.pop_first();
    }
    news
}

#[cfg(test)]
mod tests {
    use super::{super::tests::entry, *};

    fn build(known: &mut Wants, entries: &[(&str, Entry)]) -> Vec<String> {
        learn(known, &entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect())
    }

    #[test]
    fn what_is_new_or_wants_more_is_news_once() {
        let mut known = Wants::new();
        let (calm, online) = (entry(&[("open", "/etc/localtime")]), entry(&[("connect", "192.0.2.1:80")]));
        let first = [("a v1.0.0 (build script)", calm.clone()), ("b v1.0.0 (build script)", online.clone())];
        assert!(build(&mut known, &first).is_empty(), "nothing is known yet: warnings say it");
        assert!(build(&mut known, &first).is_empty(), "as before");
        let more = [("a v1.0.1 (build script)", online.clone())];
        let said = "a@1.0.1: its build script wants to connect to the network; 1.0.0 did not";
        assert_eq!(build(&mut known, &more), [said]);
        assert!(build(&mut known, &more).is_empty(), "once");
        let elsewhere = entry(&[("connect", "198.51.100.7:443"), ("open", "~/.ssh/id")]);
        let said = "b@1.1.0: its build script wants to open ~/.ssh/id; 1.0.0 did not";
        assert_eq!(build(&mut known, &[("b v1.1.0 (build script)", elsewhere.clone())]), [said]);
        let said = "c@0.1.0: its build script wants to connect to the network, open ~/.ssh/id; it is new here";
        assert_eq!(build(&mut known, &[("c v0.1.0 (build script)", elsewhere)]), [said]);
        let many = ["~/.ssh/a", "~/.ssh/b", "~/.ssh/c", "~/.ssh/d", "~/.ssh/e", "~/.ssh/f"].map(|name| ("open", name));
        let said = "e@0.1.0: its build script wants to open ~/.ssh/a, open ~/.ssh/b, open ~/.ssh/c, open ~/.ssh/d and 2 more; \
                    it is new here";
        assert_eq!(build(&mut known, &[("e v0.1.0 (build script)", entry(&many))]), [said]);
        assert!(build(&mut known, &[("d v0.1.0 (build script)", calm)]).is_empty(), "new, and wants nothing");
    }
}
