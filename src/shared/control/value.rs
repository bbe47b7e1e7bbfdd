//! The values of a status, so that services need not name the D-Bus library.

use zbus::Variant;

/// One value of a status, so that services need not name the D-Bus library.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Str(String),
    /// A count, a size in bytes, a time in the unit that the key's name ends with.
    U64(u64),
    /// A ratio.
    F64(f64),
    /// Yes or no.
    Bool(bool),
    /// Several texts.
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::U64(number)
    }
}

impl Value {
    pub(super) fn to_wire(&self) -> Variant<'_> {
        match self {
            Value::Str(text) => Variant::from(text.as_str()),
            Value::U64(number) => Variant::from(*number),
            Value::F64(number) => Variant::from(*number),
            Value::Bool(flag) => Variant::from(*flag),
            Value::List(texts) => Variant::from(texts.clone()),
        }
    }

    /// What another version sends in a type not listed here is shown as text, not refused.
    pub(super) fn from_wire(wire: &Variant<'_>) -> Self {
        match wire {
            Variant::Str(text) => Value::Str(text.to_string()),
            Variant::U64(number) => Value::U64(*number),
            Variant::U32(number) => Value::U64(u64::from(*number)),
            Variant::F64(number) => Value::F64(*number),
            Variant::Bool(flag) => Value::Bool(*flag),
            Variant::Array(items) => Value::List(
                items
                    .iter()
                    .map(|item| match item {
                        Variant::Str(text) => text.to_string(),
                        other => format!("{other:?}"),
                    })
                    .collect(),
            ),
            other => Value::Str(format!("{other:?}")),
        }
    }
}
