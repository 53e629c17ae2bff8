//! The model that a container serves, as its command line, its environment or a volume names it. Pure.

use serde_json::Value;

/// Flags of model servers that name the model.
const FLAGS: &[&str] = &[
    "--model",
    "--model-path",
    "--model_path",
    "--model-id",
    "--model_id",
    "--model-dir",
    "--model_dir",
    "--model-uri",
    "--model-name-or-path",
    "--model_name_or_path",
    "--hf-model",
    "--hf-repo",
    "--model-repository",
];
/// Variables that name the model, by preference.
const VARIABLES: &[&str] = &[
    "MODEL_ID",
    "HF_MODEL_ID",
    "NIM_MODEL_NAME",
    "MODEL_PATH",
    "MODEL",
];
/// Commands that take the model as their first argument.
const SERVERS: &[&[&str]] = &[
    &["vllm", "serve"],
    &["trtllm-serve", "serve"],
    &["trtllm-serve"],
    &["lmdeploy", "serve", "api_server"],
];
/// The ending of a model in one file, as llama.cpp takes it; `-m` of other programs is something else.
const GGUF: &str = ".gguf";
/// More words of a command line are not read.
const MAX_WORDS: usize = 4096;

/// The model of one container.
pub(super) fn of_container(container: &Value) -> Option<String> {
    let command = words(&container["command"]);
    let args = words(&container["args"]);
    let all: Vec<_> = command.iter().chain(&args).copied().collect();
    let named = flagged(&all).or_else(|| positional(&all));
    let by_image = || {
        let image = container["image"].as_str()?;
        let first = args.first().filter(|_| command.is_empty())?;
        (image.contains("vllm") && first.contains('/') && !first.starts_with(['-', '/']))
            .then_some(*first)
    };
    let value = named
        .or_else(by_image)
        .map(|word| resolved(container, word).unwrap_or_else(|| word.to_owned()));
    value.or_else(|| {
        VARIABLES
            .iter()
            .find_map(|name| variable(container, name))
            .map(str::to_owned)
    })
}

/// The words of a command or of arguments; a script is read word by word.
fn words(list: &Value) -> Vec<&str> {
    let one = list.as_str().into_iter();
    let items = list.as_array().into_iter().flatten();
    let texts = one.chain(items.filter_map(Value::as_str));
    let split = texts.flat_map(str::split_whitespace).take(MAX_WORDS);
    split.map(|word| word.trim_matches(['"', '\''])).collect()
}

fn flagged<'a>(words: &[&'a str]) -> Option<&'a str> {
    let at = |(at, word): (usize, &&'a str)| {
        if let Some((flag, value)) = word.split_once('=') {
            return FLAGS
                .contains(&flag)
                .then(|| value.trim_matches(['"', '\'']));
        }
        let value = *words.get(at + 1)?;
        let is_file = *word == "-m" && value.to_ascii_lowercase().ends_with(GGUF);
        (FLAGS.contains(word) || is_file).then_some(value)
    };
    let mut named = words.iter().enumerate().filter_map(at);
    named.rfind(|value| !value.is_empty() && !value.starts_with('-') && *value != "\\")
}

fn positional<'a>(words: &[&'a str]) -> Option<&'a str> {
    SERVERS.iter().find_map(|server| {
        let at = words.windows(server.len()).position(|some| {
            some.iter()
                .zip(server.iter())
                .all(|(word, name)| word.rsplit('/').next() == Some(name))
        })?;
        let mut behind = words[at + server.len()..]
            .iter()
            .filter(|word| **word != "\\");
        behind.next().copied().filter(|word| !word.starts_with('-'))
    })
}

/// A reference to a variable, as the kubelet or a shell reads it.
fn resolved(container: &Value, word: &str) -> Option<String> {
    let name = word.strip_prefix('$')?;
    let name = name.trim_matches(['(', ')', '{', '}']);
    variable(container, name).map(str::to_owned)
}

/// The value of a variable; the last one counts.
fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let all = container["env"].as_array().into_iter().flatten().rev();
    let mut named = all.filter(|variable| variable["name"] == name);
    named.next()?["value"]
        .as_str()
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_model_is_found_where_servers_take_it() {
        for (container, expected) in [
            (json!({"args": ["--model=org/m", "--port", "1"]}), "org/m"),
            (
                json!({"args": ["--port", "1", "--model", "org/m"]}),
                "org/m",
            ),
            (
                json!({"command": ["vllm", "serve", "org/m", "--x"]}),
                "org/m",
            ),
            (
                json!({"command": ["sh", "-c"], "args": ["set -e\nexec /usr/bin/vllm serve \\\n \"org/m\" --x"]}),
                "org/m",
            ),
            (
                json!({"command": ["python", "-m", "sglang.launch_server", "--model-path", "/models/m"]}),
                "/models/m",
            ),
            (
                json!({"command": ["llama-server", "-m", "/m.gguf"]}),
                "/m.gguf",
            ),
            (json!({"command": ["python", "-m", "server"]}), ""),
            (
                json!({"image": "vllm/vllm-openai:1", "args": ["org/m", "--x"]}),
                "org/m",
            ),
            (json!({"image": "proxy:1", "args": ["org/m"]}), ""),
            (
                json!({"args": ["--model", "$(MODEL_NAME)"], "env": [{"name": "MODEL_NAME", "value": "org/m"}]}),
                "org/m",
            ),
            (
                json!({"args": ["--model", "$(MODEL_NAME)"]}),
                "$(MODEL_NAME)",
            ),
            (
                json!({"env": [{"name": "MODEL_ID", "value": "org/m"}]}),
                "org/m",
            ),
            (json!({"args": ["--model", "--port"]}), ""),
            (json!({"args": ["--served-model-name", "m"]}), ""),
            (json!({"args": "--model org/m"}), "org/m"),
            (json!(1), ""),
        ] {
            let found = of_container(&container).unwrap_or_default();
            assert_eq!(found, expected, "{container}");
        }
    }
}
