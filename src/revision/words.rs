//! Lists and maps of a view as one string each. Pure.
//!
//! The API server checks, copies and encodes an object field by field, several times for each write: a variable of an
//! environment as an item of a list costs it about 10 µs, as a line of a string next to nothing (docs/benchmarks.md).

/// Words as a shell reads them, on one line.
pub(super) mod line {
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        words: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::join(words))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        super::split(deserializer)
    }
}

/// Words as a shell reads them, each on a line of its own.
pub(super) mod lines {
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        words: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let lines: Vec<_> = words.iter().map(|word| super::quote(word)).collect();
        serializer.serialize_str(&lines.join("\n"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        super::split(deserializer)
    }
}

/// Quantities by resource name, in the notation of `kubectl create quota --hard`: `cpu=8,memory=128Gi`.
pub(super) mod quantities {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::collections::BTreeMap;

    type Quantities = BTreeMap<String, String>;

    pub(crate) fn serialize<S: Serializer>(
        all: &Quantities,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let all: Vec<_> = all
            .iter()
            .map(|(name, quantity)| format!("{name}={quantity}"))
            .collect();
        serializer.serialize_str(&all.join(","))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Quantities, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(pair)
            .collect()
    }

    fn pair<E: Error>(part: &str) -> Result<(String, String), E> {
        let (name, quantity) = part
            .split_once('=')
            .ok_or_else(|| E::custom(format!("{part:?} is not NAME=QUANTITY")))?;
        Ok((name.to_owned(), quantity.to_owned()))
    }
}

/// Words on one line, as a shell would read them.
pub fn join(words: &[String]) -> String {
    let quoted: Vec<_> = words
        .iter()
        .map(|word| {
            // An assignment where a shell may take it for one is quoted as a whole.
            if word.starts_with('-') {
                quote(word)
            } else {
                shell_words::quote(word).into()
            }
        })
        .collect();
    quoted.join(" ")
}

/// `NAME=value` and `--flag=value` with quotes around what needs them only.
fn quote(word: &str) -> String {
    match word.split_once('=') {
        Some((name, value)) if is_plain_name(name) => {
            // Nothing at all is quoted alone, and needs no quotes after the sign.
            let value = if value.is_empty() {
                "".into()
            } else {
                shell_words::quote(value)
            };
            format!("{name}={value}")
        }
        _ => shell_words::quote(word).into_owned(),
    }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// How many pods: `2`, or `1..4`, `1..` and `..4` where an autoscaler decides.
pub(super) mod range {
    use crate::revision::Pods;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::num::ParseIntError;

    // Serde hands over a reference to the field.
    #[allow(clippy::ref_option)]
    pub(crate) fn serialize<S: Serializer>(
        pods: &Option<Pods>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Pods { number, min, max } = pods.unwrap_or_default();
        let range = if min.is_some() || max.is_some() {
            format!("{}..{}", text(min), text(max))
        } else {
            text(number)
        };
        serializer.serialize_str(&range)
    }

    fn text(number: Option<i32>) -> String {
        number.map(|number| number.to_string()).unwrap_or_default()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Pods>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pods = read(&text).map_err(|error| {
            D::Error::custom(format!("{text:?} is not a number or MIN..MAX: {error}"))
        })?;
        Ok(Some(pods).filter(|pods| *pods != Pods::default()))
    }

    fn read(text: &str) -> Result<Pods, ParseIntError> {
        Ok(match text.split_once("..") {
            Some((min, max)) => Pods {
                min: number(min)?,
                max: number(max)?,
                ..Pods::default()
            },
            None => Pods {
                number: number(text)?,
                ..Pods::default()
            },
        })
    }

    /// Nothing is no number.
    fn number(part: &str) -> Result<Option<i32>, ParseIntError> {
        Some(part)
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .transpose()
    }
}

fn split<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    if let Some(words) = split_plainly(&text) {
        return Ok(words);
    }
    shell_words::split(&text).map_err(|error| {
        serde::de::Error::custom(format!("{text:?} is not what a shell could read: {error}"))
    })
}

/// Words that are plain or between single quotes, as nearly all are: reading views takes a third of the time with this.
/// None when a text has other marks of a shell, or a quote that does not end.
fn split_plainly(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text;
    loop {
        let end = rest.find(['\'', '"', '\\', '#', ' ', '\t', '\n']);
        let (plain, marked) = rest.split_at(end.unwrap_or(rest.len()));
        if !plain.is_empty() {
            word.get_or_insert_default().push_str(plain);
        }
        let Some(mark) = marked.chars().next() else {
            words.extend(word);
            return Some(words);
        };
        rest = &marked[1..];
        match mark {
            '\'' => {
                let (quoted, behind) = rest.split_once('\'')?;
                word.get_or_insert_default().push_str(quoted);
                rest = behind;
            }
            ' ' | '\t' | '\n' => words.extend(word.take()),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split_plainly;
    use crate::revision::{Pods, View};
    use std::collections::BTreeMap;

    fn view(words: &[&str]) -> View {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        View {
            command: words.clone(),
            args: words.clone(),
            env: words,
            ..View::default()
        }
    }

    #[test]
    fn they_read_well() {
        let mut view = view(&["--model=llama", "A=two words", "it's"]);
        view.requests_total = [("cpu", "9"), ("nvidia.com/gpu", "4")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
        view.node_pools = vec!["h100".into(), "l40".into()];
        view.pods = Some(Pods {
            min: Some(1),
            max: Some(4),
            ..Pods::default()
        });
        let json = serde_json::to_value(&view).expect("json");
        assert_eq!(json["args"], r"--model=llama 'A=two words' 'it'\''s'");
        assert_eq!(json["env"], "--model=llama\nA='two words'\n'it'\\''s'");
        assert_eq!(json["requestsTotal"], "cpu=9,nvidia.com/gpu=4");
        assert_eq!(
            (&json["nodePools"], &json["pods"]),
            (&"h100 l40".into(), &"1..4".into())
        );
    }

    #[test]
    fn nothing_is_lost() {
        for words in [
            &[][..],
            &[""],
            &[
                "a\nb", "\u{0}", "\\", "'\"'", "#x", "  ", "é=ü", "$(a)", "\\\n", "=", "A=",
                "--a='b", "A=b=c d",
            ],
        ] {
            let view = view(words);
            let back: View =
                serde_json::from_str(&serde_json::to_string(&view).expect("json")).expect("json");
            assert_eq!(back, view);
        }
    }

    #[test]
    fn what_is_no_such_text_is_an_error_that_shows_it() {
        let read = |json: &str| {
            serde_json::from_str::<View>(json)
                .expect_err("refused")
                .to_string()
        };
        let error = read(r#"{"version":1,"summary":"","args":"'open"}"#);
        assert!(error.contains("'open"), "{error}");
        let error = read(r#"{"version":1,"summary":"","requestsTotal":"cpu"}"#);
        assert!(error.contains(r#""cpu" is not NAME=QUANTITY"#), "{error}");
        let error = read(r#"{"version":1,"summary":"","pods":"1..x"}"#);
        assert!(
            error.contains(r#""1..x" is not a number or MIN..MAX"#),
            "{error}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_words_come_back(words in proptest::collection::vec(".*", 0..5)) {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let view = view(&words);
            let back: View = serde_json::from_value(serde_json::to_value(&view).expect("json")).expect("json");
            proptest::prop_assert_eq!(back, view);
        }

        #[test]
        fn plain_words_are_those_of_a_shell(text in "[a' \\\\\"#\t\né=-]{0,16}") {
            if let Some(words) = split_plainly(&text) {
                proptest::prop_assert_eq!(Some(words), shell_words::split(&text).ok());
            }
        }

        #[test]
        fn any_quantities_come_back(all in proptest::collection::btree_map("[a-z./-]{1,9}", "[0-9]{1,3}(m|Gi)?", 0..5)) {
            let all: BTreeMap<String, String> = all;
            let view = View { requests_per_pod: all.clone(), requests_total: all, ..View::default() };
            let back: View = serde_json::from_value(serde_json::to_value(&view).expect("json")).expect("json");
            proptest::prop_assert_eq!(back, view);
        }

        #[test]
        fn any_number_of_pods_comes_back(number: Option<i32>, min: Option<i32>, max: Option<i32>) {
            let number = number.filter(|_| min.is_none() && max.is_none());
            let pods = Some(Pods { number, min, max }).filter(|pods| *pods != Pods::default());
            let view = View { pods, ..View::default() };
            let back: View = serde_json::from_value(serde_json::to_value(&view).expect("json")).expect("json");
            proptest::prop_assert_eq!(back, view);
        }
    }
}
