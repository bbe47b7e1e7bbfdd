//! The parts that rustdoc leaves of crates, made ready to be merged by it.
//!
//! In a part's search index items are named by their row. Merging shifts the rows, and every release
//! that vx knows forgets to shift one of the columns that name them: the trait which an implemented
//! method comes from. So that column is given here what it has to hold in the merged index: the
//! row's place behind those of the parts before, or the place of the first row of the same path.
//! Of a path that several parts name it also keeps only what the first says, so that a crate has to
//! come before those that name its items. Nothing else of a part is looked at or changed.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

/// The form of parts that this is about.
const FORM: &str = "V2";
/// Where a row of entries names the row of its trait: counted from one, zero for none.
const TRAIT: usize = 5;

/// Why parts cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    #[error("read what rustdoc left of a crate: {0}")]
    Json(#[from] serde_json::Error),
    #[error("read what rustdoc left of a crate: its form is {0}, this vx knows {FORM}; a newer vx may know it")]
    Form(String),
    #[error("read what rustdoc left of a crate: a row of its search index names row {0}, which is no path")]
    Row(u64),
}

/// Whether rustdoc shifts that column itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shifts {
    All,
    AllButTraits,
}

/// A crate's name and what rustdoc left of it.
pub type Part = (String, String);

#[derive(Deserialize)]
struct Read<'a> {
    version: String,
    #[serde(borrow)]
    search_index: Index<'a>,
}

#[derive(Deserialize)]
struct Index<'a> {
    #[serde(borrow)]
    names: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    path_data: Vec<Option<Path<'a>>>,
    #[serde(borrow)]
    entry_data: &'a RawValue,
}

/// What is at a path, and in which module; a third may say where else.
#[derive(Deserialize)]
struct Path<'a>(u64, #[serde(borrow)] Cow<'a, str>, #[serde(default)] IgnoredAny);

/// A path: what is there, in which module, its name.
type Place = (u64, String, String);

impl Index<'_> {
    /// The paths, with their rows.
    fn paths(&self) -> impl Iterator<Item = (u64, Place)> {
        let rows = (0_u64..).zip(self.names.iter().zip(&self.path_data));
        rows.filter_map(|(row, (name, path))| {
            let Path(kind, module, _) = path.as_ref()?;
            Some((row, (*kind, module.clone().into_owned(), name.clone().into_owned())))
        })
    }

    /// The crates whose items are named.
    fn crates(&self) -> BTreeSet<String> {
        let name = |(_, module, name): Place| match module.split("::").next() {
            Some("") | None => name,
            Some(first) => first.to_owned(),
        };
        self.paths().map(|(_, place)| name(place)).collect()
    }
}

fn read(text: &str) -> Result<Index<'_>, PartError> {
    let part: Read<'_> = serde_json::from_str(text)?;
    if part.version == FORM { Ok(part.search_index) } else { Err(PartError::Form(part.version)) }
}

/// The parts as they are to be merged, in that order.
pub fn arrange(parts: &[Part], shifts: Shifts) -> Result<Vec<Part>, PartError> {
    let mut named = BTreeMap::new();
    for (name, text) in parts {
        named.insert(name.as_str(), (read(text)?.crates(), text));
    }
    let mut first: HashMap<Place, u64> = HashMap::new();
    let mut behind: u64 = 0;
    let mut arranged = Vec::with_capacity(parts.len());
    for name in order(&named) {
        let (_, text) = named[name];
        let text = match shifts {
            Shifts::All => text.clone(),
            Shifts::AllButTraits => shift(text, &mut first, &mut behind)?,
        };
        arranged.push((name.to_owned(), text));
    }
    Ok(arranged)
}

/// Each after those that it names; where those name it in turn, by name.
fn order<'a>(named: &BTreeMap<&'a str, (BTreeSet<String>, &String)>) -> Vec<&'a str> {
    let (mut seen, mut order) = (BTreeSet::new(), Vec::with_capacity(named.len()));
    // A crate is looked at twice: to find those before it, and when they are there.
    let mut open: Vec<(&str, bool)> = named.keys().rev().map(|name| (*name, false)).collect();
    while let Some((name, is_ready)) = open.pop() {
        if is_ready {
            order.push(name);
        } else if seen.insert(name) {
            open.push((name, true));
            let (crates, _) = &named[name];
            let before = crates.iter().rev().filter_map(|one| named.get_key_value(one.as_str()));
            open.extend(before.map(|(one, _)| (*one, false)));
        }
    }
    order
}

/// A part behind others, whose first rows of each path and number of rows are given.
fn shift(text: &str, first: &mut HashMap<Place, u64>, behind: &mut u64) -> Result<String, PartError> {
    let index = read(text)?;
    let places: HashMap<u64, u64> =
        index.paths().map(|(row, place)| (row, *first.entry(place).or_insert(*behind + row))).collect();
    *behind += index.names.len() as u64;
    let Range { start, end } = within(text, index.entry_data.get());
    let mut shifted = String::with_capacity(text.len() + (end - start) / 8);
    shifted.push_str(&text[..start]);
    shifted.push('[');
    // One at a time: there may be a million.
    let rows: Vec<&RawValue> = serde_json::from_str(index.entry_data.get())?;
    for (number, row) in rows.into_iter().enumerate() {
        shifted.push_str(if number > 0 { "," } else { "" });
        let mut cells: Vec<Value> = serde_json::from_str::<Option<_>>(row.get())?.unwrap_or_default();
        match cells.get(TRAIT).and_then(Value::as_u64).filter(|named| *named > 0) {
            None => shifted.push_str(row.get()),
            Some(named) => {
                let place = places.get(&(named - 1)).ok_or(PartError::Row(named - 1))?;
                cells[TRAIT] = Value::from(place + 1);
                shifted.push_str(&serde_json::to_string(&cells)?);
            }
        }
    }
    shifted.push(']');
    shifted.push_str(&text[end..]);
    Ok(shifted)
}

/// Where a slice of a text lies in it.
fn within(text: &str, slice: &str) -> Range<usize> {
    let start = (slice.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    start..(start + slice.len()).min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, names: &str, paths: &str, entries: &str) -> Part {
        let text = format!(
            r#"{{"version":"V2","src_files_js":["x"],"search_index":{{"names":{names},"path_data":{paths},"entry_data":{entries},"descs":["\u003c"]}},"z":1}}"#
        );
        (name.to_owned(), text)
    }

    fn three() -> [Part; 3] {
        let a = r#"[null,[0,10,1,0,0,0,0,0],[0,13,1,1,2,2,0,0]]"#;
        let b = r#"[null,null,null,[0,13,1,1,2,3,0,0,"x"]]"#;
        [
            part(
                "c",
                r#"["From","from","b"]"#,
                r#"[[10,"core::convert"],null,[3,""]]"#,
                "[null,[0,13,1,1,2,1,0],null]",
            ),
            part("b", r#"["b","From","Speak","say"]"#, r#"[[3,""],[10,"core::convert"],[10,"a"],null]"#, b),
            part("a", r#"["a","Speak","say"]"#, r#"[[3,""],[10,"a","a"],null]"#, a),
        ]
    }

    #[test]
    fn traits_are_named_where_they_will_be() {
        let [c, b, a] = three();
        let arranged = arrange(&[c, b, a.clone()], Shifts::AllButTraits).expect("parts");
        assert_eq!(arranged[0], a);
        let shifted = [
            r#""entry_data":[null,null,null,[0,13,1,1,2,2,0,0,"x"]],"descs":["\u003c"]},"z":1"#,
            r#""entry_data":[null,[0,13,1,1,2,5,0],null],"#,
        ];
        for ((_, text), shifted) in arranged[1..].iter().zip(shifted) {
            assert!(text.contains(shifted), "{text}");
        }
    }

    #[test]
    fn crates_come_before_those_that_name_them() {
        let names = |parts: &[Part]| {
            let arranged = arrange(parts, Shifts::All).expect("parts");
            arranged.into_iter().map(|(name, _)| name).collect::<String>()
        };
        let [c, b, a] = three();
        assert_eq!(names(&[c.clone(), b.clone(), a.clone()]), "abc");
        // Parts of two runs may name one another.
        let round = part("a", r#"["X"]"#, r#"[[5,"c::m"]]"#, "[null]");
        assert_eq!(names(&[round, b, c]), "bca");
        assert_eq!(names(&[a]), "a");
    }

    #[test]
    fn other_forms_are_refused() {
        let arrange = |part: Part| arrange(&[part], Shifts::AllButTraits);
        let (name, text) = part("x", "[]", "[]", "[]");
        assert!(matches!(arrange((name, text.replace("V2", "V3"))), Err(PartError::Form(form)) if form == "V3"));
        assert!(matches!(arrange(part("x", r#"["x"]"#, "[null]", "[[0,1,0,0,0,9,0]]")), Err(PartError::Row(8))));
        assert!(arrange(("x".to_owned(), "{".to_owned())).is_err());
    }
}
