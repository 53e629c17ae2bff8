//! YAML in which every character can be seen, and which says the same as the object. Pure.
//!
//! Characters that change the direction of writing are escaped. YAML has escapes in double quotes only.

use crate::text::{has_direction, visible_json};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_saphyr::DoubleQuoted;

/// The YAML of a value.
///
/// # Errors
/// When it is nested too deeply.
pub(crate) fn text(value: &Value) -> Result<String, serde_saphyr::ser::Error> {
    let yaml = serde_saphyr::to_string(&Quoting(value))?;
    Ok(visible_json(&yaml).into_owned())
}

/// A value whose texts stand in double quotes when they need an escape.
struct Quoting<'v>(&'v Value);

impl Serialize for Quoting<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) if has_direction(text) => {
                DoubleQuoted(text.as_str()).serialize(serializer)
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Quoting)),
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, field) in fields {
                    map.serialize_entry(key, &Quoting(field))?;
                }
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}
