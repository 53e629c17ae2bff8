//! The content of an object: the fields that are digested, compared and stored. Pure.

use crate::json::Value;

/// Every object has these fields: its names, and the words of its controllers.
pub(crate) const NO_CONTENT: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// The fields of an object that are its content, in canonical order: `spec`, or, of an object without one, every field
/// but apiVersion, kind, metadata and status.
pub fn fields(object: Value<'_>) -> Vec<(&str, Value<'_>)> {
    if let Some(spec) = object.get("spec") {
        return vec![("spec", spec)];
    }
    object
        .entries()
        .filter(|(name, _)| !NO_CONTENT.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    #[test]
    fn the_spec_is_the_content_and_without_one_every_other_field_is() {
        for (object, expected) in [
            (r#"{"metadata":{},"spec":{"a":1},"data":{}}"#, vec!["spec"]),
            (r#"{"data":{},"spec":null}"#, vec!["spec"]),
            (
                r#"{"type":"x","apiVersion":"v1","kind":"K","metadata":{},"data":{},"status":{}}"#,
                vec!["data", "type"],
            ),
            (r#"{"metadata":{},"status":{}}"#, vec![]),
            ("1", vec![]),
        ] {
            let document = Document::parse(object).expect("valid");
            let names: Vec<_> = fields(document.root())
                .into_iter()
                .map(|(name, _)| name)
                .collect();
            assert_eq!(names, expected, "{object}");
        }
    }
}
