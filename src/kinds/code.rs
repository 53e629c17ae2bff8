//! What a kind needs beside paths and jq: named switches of the kind file (`code: runai`), all in this place. Pure.

use serde_json::{Map, Value, json};

/// A named piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Run:ai wraps every field: `{value: x}`, and `{items: {name: {value: x}}}` for maps; variables may be references
    /// to secrets.
    RunAi,
}

/// Deeper than this nothing is unwrapped.
const DEPTH: usize = 64;

impl Code {
    /// The code of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        (name == "runai").then_some(Self::RunAi)
    }

    /// An object as the kind file's jq sees it.
    #[must_use]
    pub fn prepare(self, mut object: Value) -> Value {
        match self {
            Self::RunAi => {
                if let Some(spec) = object.get_mut("spec") {
                    *spec = unwrapped(spec.take(), DEPTH);
                    for field in ["command", "arguments"] {
                        spec.get_mut(field).into_iter().for_each(split);
                    }
                    let variables = spec.get_mut("environment").and_then(Value::as_object_mut);
                    variables
                        .into_iter()
                        .flatten()
                        .for_each(|(_, value)| refer(value));
                }
                object
            }
        }
    }
}

fn unwrapped(value: Value, depth: usize) -> Value {
    let Value::Object(mut fields) = value else {
        return value;
    };
    if depth == 0 {
        return Value::Object(fields);
    }
    if let Some(value) = fields.remove("value") {
        return value;
    }
    if let Some(Value::Object(items)) = fields.remove("items") {
        fields = items;
    }
    Value::Object(
        fields
            .into_iter()
            .map(|(key, value)| (key, unwrapped(value, depth - 1)))
            .collect::<Map<_, _>>(),
    )
}

/// A command line in one text is what a shell reads; one that a shell could not read is one word.
fn split(value: &mut Value) {
    let words = value
        .as_str()
        .and_then(|line| shell_words::split(line).ok());
    if let Some(words) = words {
        *value = words.into();
    }
}

/// `SECRET:name,key` says where the value is; as Kubernetes has it, that is a `valueFrom`.
fn refer(value: &mut Value) {
    let Some(reference) = value.as_str().and_then(|text| text.strip_prefix("SECRET:")) else {
        return;
    };
    let (name, key) = match reference.split_once(',') {
        Some((name, key)) => (name.trim(), Some(key.trim())),
        None => (reference.trim(), None),
    };
    *value = json!({"valueFrom": {"secretKeyRef": {"name": name, "key": key}}});
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_fields_are_unwrapped() {
        let object = json!({"metadata": {"name": "n"}, "spec": {
            "image": {"value": "i"}, "environment": {"items": {"A": {"value": "1"}, "B": {"value": 2}}}, "nodePools": {"value": ["a", "b"]}, "plain": 3}});
        let expected = json!({"metadata": {"name": "n"}, "spec": {
            "image": "i", "environment": {"A": "1", "B": 2}, "nodePools": ["a", "b"], "plain": 3}});
        assert_eq!(Code::RunAi.prepare(object), expected);
        assert_eq!(Code::RunAi.prepare(json!({"spec": 1})), json!({"spec": 1}));
    }

    #[test]
    fn a_command_line_is_words() {
        let object = json!({"spec": {"command": {"value": "sh -c 'a b'"}, "arguments": "it's"}});
        let expected = json!({"spec": {"command": ["sh", "-c", "a b"], "arguments": "it's"}});
        assert_eq!(Code::RunAi.prepare(object), expected);
    }

    #[test]
    fn a_secret_of_run_ai_is_a_reference() {
        for (value, expected) in [
            (
                "SECRET:hf,token",
                json!({"valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}),
            ),
            (
                "SECRET:hf",
                json!({"valueFrom": {"secretKeyRef": {"name": "hf", "key": null}}}),
            ),
            ("secret", json!("secret")),
        ] {
            let object = json!({"spec": {"environment": {"items": {"A": {"value": value}}}}});
            assert_eq!(
                Code::RunAi.prepare(object)["spec"]["environment"]["A"],
                expected,
                "{value}"
            );
        }
    }
}
