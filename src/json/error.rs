//! The texts of errors that reading JSON gives, without the values that they quote. Pure.
//!
//! An error of `serde` quotes the value that has another type than it should. That value may be a secret.

use std::fmt::Display;

/// The beginnings after which `serde` quotes a value.
const BEFORE_VALUE: [&str; 3] = ["invalid type: ", "invalid value: ", "unknown variant "];
/// The words after the value.
const AFTER_VALUE: &str = ", expected ";
/// Stands where the value was.
const LEFT_OUT: char = '…';

/// The text of an error, without the value of an object that it quotes.
pub fn without_value(error: &impl Display) -> String {
    let text = error.to_string();
    let begins = BEFORE_VALUE
        .iter()
        .find_map(|words| Some(text.find(words)? + words.len()));
    // Errors of our own types begin with the value, in quotation marks.
    let value = match (
        begins,
        text.strip_prefix('"').and_then(|rest| rest.rfind('"')),
    ) {
        (Some(begins), _) => {
            let length = text[begins..].rfind(AFTER_VALUE);
            begins..length.map_or(text.len(), |length| begins + length)
        }
        (None, Some(ends)) => 0..ends + 2,
        (None, None) => return text,
    };
    format!("{}{LEFT_OUT}{}", &text[..value.start], &text[value.end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::View;

    #[test]
    fn no_value_stays_in_an_error() {
        for (json, told) in [
            (r#"{"version": "hunter2"}"#, "expected i32 at line 1"),
            (
                r#"{"version": 1, "summary": ["hunter2"]}"#,
                "expected a string",
            ),
            (
                r#"{"version": 1, "summary": "", "pods": "hunter2, expected \"x\""}"#,
                "is not a number or MIN..MAX",
            ),
            (
                r#"{"version": 1, "summary": "", "requestsTotal": "hunter2"}"#,
                "is not NAME=QUANTITY",
            ),
            (
                r#"{"version": 1, "summary": "", "args": "'hunter2"}"#,
                "is not what a shell could read",
            ),
        ] {
            let error = serde_json::from_str::<View>(json).expect_err(json);
            let text = without_value(&error);
            assert!(text.contains(told) && !text.contains("hunter2"), "{text}");
        }
        let error = serde_json::from_str::<View>("{}").expect_err("empty");
        assert_eq!(without_value(&error), error.to_string());
        let chain = "Error deserializing response: invalid type: string \"hunter2\", expected u8";
        let expected = "Error deserializing response: invalid type: …, expected u8";
        assert_eq!(without_value(&chain), expected);
    }
}
