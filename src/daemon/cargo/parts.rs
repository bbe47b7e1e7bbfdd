//! The parts that rustdoc leaves of crates, made ready to be merged by it.
//!
//! In a part's search index items are named by their row. Merging shifts the rows, and every release
//! that vx knows forgets to shift one of the columns that name them: the trait which an implemented
//! method comes from. So that column is given here what it has to hold in the merged index: the
//! row's place behind those of the parts before, or the place of the first row of the same path.
//! Nothing else of a part is looked at or changed.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use serde::Deserialize;
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

#[derive(Deserialize)]
struct Part<'a> {
    version: String,
    #[serde(borrow)]
    search_index: Index<'a>,
}

#[derive(Deserialize)]
struct Index<'a> {
    #[serde(borrow)]
    names: Vec<Cow<'a, str>>,
    path_data: Vec<Option<Vec<Value>>>,
    #[serde(borrow)]
    entry_data: &'a RawValue,
}

/// The parts, in the order in which they are merged, with that column as it has to be.
pub fn align(parts: &[String]) -> Result<Vec<String>, PartError> {
    let mut first: HashMap<(u64, String, String), u64> = HashMap::new();
    let mut behind: u64 = 0;
    let mut aligned = Vec::with_capacity(parts.len());
    for text in parts {
        let part: Part<'_> = serde_json::from_str(text)?;
        if part.version != FORM {
            return Err(PartError::Form(part.version));
        }
        let Index { names, path_data, entry_data } = part.search_index;
        let mut places = HashMap::new();
        for (row, (name, path)) in (0_u64..).zip(names.iter().zip(&path_data)) {
            let Some([kind, module, ..]) = path.as_deref() else { continue };
            let key = (
                kind.as_u64().unwrap_or_default(),
                module.as_str().unwrap_or_default().to_owned(),
                name.clone().into_owned(),
            );
            places.insert(row, *first.entry(key).or_insert(behind + row));
        }
        behind += names.len() as u64;
        let mut rows: Vec<Option<Vec<Value>>> = serde_json::from_str(entry_data.get())?;
        for row in rows.iter_mut().flatten() {
            let named = row.get(TRAIT).and_then(Value::as_u64).filter(|named| *named > 0);
            let Some(named) = named else { continue };
            let place = places.get(&(named - 1)).ok_or(PartError::Row(named - 1))?;
            row[TRAIT] = Value::from(place + 1);
        }
        let Range { start, end } = within(text, entry_data.get());
        aligned.push([&text[..start], &serde_json::to_string(&rows)?, &text[end..]].concat());
    }
    Ok(aligned)
}

/// Where a slice of a text lies in it.
fn within(text: &str, slice: &str) -> Range<usize> {
    let start = (slice.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    start..(start + slice.len()).min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(names: &str, paths: &str, entries: &str) -> String {
        format!(
            r#"{{"version":"V2","src_files_js":["x"],"search_index":{{"names":{names},"path_data":{paths},"entry_data":{entries},"descs":["\u003c"]}},"z":1}}"#
        )
    }

    #[test]
    fn traits_are_named_where_they_will_be() {
        let one = part(
            r#"["a","Speak","say"]"#,
            r#"[[3,""],[10,"a","a"],null]"#,
            "[null,[0,10,1,0,0,0,0,0],[0,13,1,1,2,2,0,0]]",
        );
        let two = part(
            r#"["b","From","Speak","say"]"#,
            r#"[[3,""],[10,"core::convert"],[10,"a"],null]"#,
            r#"[null,null,null,[0,13,1,1,2,3,0,0,"x"]]"#,
        );
        let three = part(r#"["From","from"]"#, r#"[[10,"core::convert"],null]"#, "[null,[0,13,1,1,2,1,0]]");
        let aligned = align(&[one.clone(), two, three]).expect("parts");
        assert_eq!(aligned[0], one);
        assert!(
            aligned[1].contains(r#""entry_data":[null,null,null,[0,13,1,1,2,2,0,0,"x"]],"descs":["\u003c"]},"z":1"#),
            "{}",
            aligned[1]
        );
        assert!(aligned[2].contains(r#""entry_data":[null,[0,13,1,1,2,5,0]],"#), "{}", aligned[2]);
    }

    #[test]
    fn other_forms_are_refused() {
        assert!(
            matches!(align(&[part("[]", "[]", "[]").replace("V2", "V3")]), Err(PartError::Form(form)) if form == "V3")
        );
        assert!(matches!(align(&[part(r#"["x"]"#, "[null]", "[[0,1,0,0,0,9,0]]")]), Err(PartError::Row(8))));
        assert!(align(&["{".to_owned()]).is_err());
    }
}
