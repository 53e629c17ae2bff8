//! jq programs of kind files, behind a fence.
//!
//! Kind files are trusted configuration, and yet a slip must not stop the recorder. So natives that end the process,
//! read its surroundings or never end are left out, recursion cannot be written, programs are short, outputs are
//! counted, and `kinds::runner` runs them on a thread of its own with a time limit. Errors at run time hold values
//! of the object, so they never leave this file.

use super::extent::is_usual;
use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};
use jaq_core::load::{self, Arena, Error as LoadError, File, Loader, span};
use jaq_core::{Compiler, Ctx, Filter, Vars, compile, data, unwrap_valr};
use jaq_json::{Val, read};
use serde_json::Value;
use std::fmt;
use std::panic::catch_unwind;
use std::sync::{Arc, OnceLock};

/// Longer programs are refused: the compiler recurses.
const MAX_PROGRAM: usize = 8 << 10;
/// What a program may give.
const MAX_OUTPUTS: usize = 64;
/// What all outputs of one run may be long together.
const MAX_OUTPUT: usize = 4 << 20;
/// Compiling and running recurse.
const STACK: usize = 16 << 20;

/// They end the process, print, read its surroundings, or never end.
const NATIVES_OFF: &[&str] = &[
    "env",
    "now",
    "halt",
    "debug_empty",
    "stderr_empty",
    "range",
    "localtime",
    "strflocaltime",
    "mktime",
    "gmtime",
    "strftime",
    "strptime",
];
/// They are made of those, or recurse without end.
const DEFINITIONS_OFF: &[&str] = &[
    "debug",
    "stderr",
    "halt",
    "halt_error",
    "range",
    "repeat",
    "recurse",
    "while",
    "until",
    "combinations",
    "flatten",
    "transpose",
    "todate",
    "fromdate",
    "date",
    "dateadd",
    "datesub",
];
/// With these a program could recurse or loop by itself.
const WORDS_OFF: &[&str] = &["def", "reduce", "foreach", "import", "include"];

/// A program. Compiled it takes 50 KB and more, since jq's own library is a part of it, and of most kinds there is no
/// object in a cluster: so it is compiled when it is first run, and kept then.
#[derive(Clone)]
pub struct Program {
    source: Arc<str>,
    filter: Arc<OnceLock<Filter<data::JustLut<Val>>>>,
}

/// Why a program gave nothing. Says nothing about values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JqFailure {
    /// The object is not JSON that jq can read.
    #[error("the object cannot be read")]
    Input,
    /// It ended with an error.
    #[error("the program ended with an error")]
    Run,
    /// It gave more than it may, or the object is too deep or too wide to be given to it.
    #[error("the program gave too much, or the object is too much for it")]
    TooMuch,
    /// It exceeded the time limit.
    #[error("the program takes longer than half a second")]
    TooSlow,
    /// It exceeded the time limit before, so it was not run.
    #[error("the program is not run again after it took too long")]
    Disabled,
}

impl JqFailure {
    /// One CamelCase word, as in metrics, logs and statuses.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Input => "Input",
            Self::Run => "Run",
            Self::TooMuch => "TooMuch",
            Self::TooSlow => "TooSlow",
            Self::Disabled => "Disabled",
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.source).finish()
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Program {
    /// A program that is compiled when it is first run; [`Program::check`] says whether it can be.
    pub fn new(source: &str) -> Self {
        Self {
            source: source.into(),
            filter: Arc::default(),
        }
    }

    /// A program that can be compiled.
    ///
    /// # Errors
    /// With line and column, and what was found there.
    pub fn compile(source: &str) -> Result<Self, String> {
        let program = Self::new(source);
        program.check()?;
        Ok(program)
    }

    /// Whether it is short enough and can be compiled, which takes a millisecond.
    ///
    /// # Errors
    /// With line and column, and what was found there.
    pub fn check(&self) -> Result<(), String> {
        let length = self.source.len();
        if length > MAX_PROGRAM {
            return Err(format!("is {length} bytes long; {MAX_PROGRAM} are allowed"));
        }
        compiled(&self.source).map(drop)
    }

    fn filter(&self) -> Result<&Filter<data::JustLut<Val>>, JqFailure> {
        if let Some(filter) = self.filter.get() {
            return Ok(filter);
        }
        let filter = compiled(&self.source).map_err(|_| JqFailure::Run)?;
        Ok(self.filter.get_or_init(|| filter))
    }

    /// Runs it over one object; of every output what `shape` keeps, as JSON.
    ///
    /// # Errors
    /// Without any value of the object.
    pub fn run(&self, object: &JqObject, shape: &Shape) -> Result<Vec<Value>, JqFailure> {
        let filter = self.filter()?;
        let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
        let mut outputs = Vec::new();
        let mut left = MAX_OUTPUT;
        for output in filter.id.run((context, object.0.clone())).map(unwrap_valr) {
            if outputs.len() == MAX_OUTPUTS {
                return Err(JqFailure::TooMuch);
            }
            outputs.push(json(
                &output.map_err(|_| JqFailure::Run)?,
                shape,
                &mut left,
            )?);
        }
        Ok(outputs)
    }
}

/// An object as programs take it; it is read once for all of them.
#[derive(Debug)]
pub struct JqObject(Val);

impl JqObject {
    /// Reads an object's JSON.
    ///
    /// # Errors
    /// When jq cannot read it, or it is deeper or wider than any workload.
    pub fn parse(json: &str) -> Result<Self, JqFailure> {
        if !is_usual(json) {
            return Err(JqFailure::TooMuch);
        }
        read::parse_single(json.as_bytes())
            .map(Self)
            .map_err(|_| JqFailure::Input)
    }
}

/// What is kept of an output: most of a pod template is of no interest to a view, and copying it takes longer than
/// finding it.
#[derive(Debug)]
pub enum Shape {
    /// All of it.
    Whole,
    /// Of an object these fields; of a list the same of each item; anything else as it is.
    Fields(&'static [(&'static str, Shape)]),
}

impl Shape {
    fn field(&self, name: &[u8]) -> Option<&Self> {
        match self {
            Self::Whole => Some(self),
            Self::Fields(fields) => fields
                .iter()
                .find(|(field, _)| field.as_bytes() == name)
                .map(|(_, shape)| shape),
        }
    }
}

/// A value of jq as JSON. `left` is what it may still take.
fn json(value: &Val, shape: &Shape, left: &mut usize) -> Result<Value, JqFailure> {
    let size = match value {
        Val::TStr(bytes) => bytes.len(),
        // jq's own bytes are no JSON.
        Val::BStr(_) => return Err(JqFailure::Run),
        _ => 1,
    };
    *left = left.checked_sub(size + 1).ok_or(JqFailure::TooMuch)?;
    Ok(match value {
        Val::Null | Val::BStr(_) => Value::Null,
        Val::Bool(value) => Value::Bool(*value),
        Val::Num(number) => number
            .to_string()
            .parse()
            .map(Value::Number)
            .map_err(|_| JqFailure::Run)?,
        Val::TStr(bytes) => Value::String(text(bytes)),
        Val::Arr(items) => items
            .iter()
            .map(|item| json(item, shape, left))
            .collect::<Result<_, _>>()?,
        Val::Obj(entries) => {
            let mut object = serde_json::Map::new();
            for (key, value) in entries.iter() {
                let Val::TStr(key) = key else {
                    return Err(JqFailure::Run);
                };
                *left = left.checked_sub(key.len()).ok_or(JqFailure::TooMuch)?;
                if let Some(shape) = shape.field(key) {
                    object.insert(text(key), json(value, shape, left)?);
                }
            }
            Value::Object(object)
        }
    })
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Compiles on a stack of its own: a thread for each program would leave a heap behind, which the allocator keeps.
fn compiled(source: &str) -> Result<Filter<data::JustLut<Val>>, String> {
    stacker::grow(STACK, || catch_unwind(|| compile(source)))
        .unwrap_or_else(|_| Err("cannot be compiled".to_owned()))
}

fn compile(source: &str) -> Result<Filter<data::JustLut<Val>>, String> {
    let tokens = Lexer::new(source)
        .lex()
        .map_err(|errors| lexical(source, &errors))?;
    refuse(source, &tokens)?;
    let definitions = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|definition| !DEFINITIONS_OFF.contains(&definition.name));
    let natives = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs())
        .filter(|(name, _, _)| !NATIVES_OFF.contains(name));
    let arena = Arena::default();
    let file = File {
        code: source,
        path: (),
    };
    let modules = Loader::new(definitions)
        .load(&arena, file)
        .map_err(|errors| unreadable(source, errors))?;
    Compiler::default()
        .with_funs(natives)
        .compile(modules)
        .map_err(|errors| undefined(source, errors))
}

fn unreadable(source: &str, errors: load::Errors<&str, ()>) -> String {
    match errors.into_iter().next() {
        Some((_, LoadError::Lex(errors))) => lexical(source, &errors),
        Some((_, LoadError::Parse(errors))) => errors
            .first()
            .map_or_else(String::new, |(expected, found)| {
                unexpected(source, found, expected.as_str())
            }),
        _ => "cannot be read".to_owned(),
    }
}

fn lexical(source: &str, errors: &[load::lex::Error<&str>]) -> String {
    errors
        .first()
        .map_or_else(String::new, |(expected, found)| {
            unexpected(source, found, expected.as_str())
        })
}

fn unexpected(source: &str, found: &str, expected: &str) -> String {
    format!("{}: expected {expected}", place(source, found))
}

fn undefined(source: &str, errors: compile::Errors<&str, ()>) -> String {
    let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
    first.map_or_else(String::new, |(name, undefined)| {
        let what = undefined.as_str();
        format!("{}: undefined {what} {name}", place(source, name))
    })
}

/// Looks at every word of a program, also within strings.
fn refuse(source: &str, tokens: &[Token<&str>]) -> Result<(), String> {
    for Token(text, token) in tokens {
        match token {
            Tok::Word if WORDS_OFF.contains(text) => {
                return Err(format!(
                    "{}: {text:?} is not allowed in a kind file",
                    place(source, text)
                ));
            }
            Tok::Block(inner) => refuse(source, inner)?,
            Tok::Str(parts) => {
                for part in parts {
                    if let StrPart::Term(inner) = part {
                        refuse(source, std::slice::from_ref(inner))?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// `line:column` of a part of the source.
fn place(source: &str, part: &str) -> String {
    let at = span(source, part).start.min(source.len());
    let before = source.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_program_gives_its_outputs() {
        let program = Program::compile(".a[] | {n: ., big: (. > 1)}").expect("valid");
        let run =
            |program: &Program, object: &str| program.run(&JqObject::parse(object)?, &Shape::Whole);
        let outputs = run(&program, r#"{"a":[1,2]}"#).expect("outputs");
        assert_eq!(
            outputs,
            [json!({"n": 1, "big": false}), json!({"n": 2, "big": true})]
        );
        assert_eq!(run(&program, r#"{"a":1}"#), Err(JqFailure::Run));
        assert_eq!(run(&program, "{"), Err(JqFailure::Input));
        let many = Program::compile(".[]").expect("valid");
        assert_eq!(
            run(&many, &format!("[{}1]", "1,".repeat(64))),
            Err(JqFailure::TooMuch)
        );
    }

    #[test]
    fn only_what_is_read_is_kept() {
        const SHAPE: Shape = Shape::Fields(&[
            ("a", Shape::Fields(&[("b", Shape::Whole)])),
            ("n", Shape::Whole),
        ]);
        let program = Program::compile(".").expect("valid");
        let kept = |object: &str| {
            let object = JqObject::parse(object).expect("JSON");
            program.run(&object, &SHAPE).expect("outputs").remove(0)
        };
        let all = kept(r#"{"a":[{"b":{"x":1},"c":2},3],"n":null,"z":[1]}"#);
        assert_eq!(all, json!({"a": [{"b": {"x": 1}}, 3], "n": null}));
        assert_eq!(kept(r#"{"a":"text"}"#), json!({"a": "text"}));
    }

    #[test]
    fn mistakes_are_placed() {
        for (source, expected) in [
            (".a | foo", "1:6: undefined filter foo"),
            (".a\n  | $x", "2:5: undefined variable $x"),
            (".a | (", "expected closing parenthesis"),
            (". |", "expected"),
            ("{a: \"x\\(def f: f; f)\"}", "\"def\" is not allowed"),
            ("reduce .[] as $x (0; .)", "1:1: \"reduce\" is not allowed"),
        ] {
            let error = Program::compile(source).expect_err(source);
            assert!(error.contains(expected), "{source}: {error}");
        }
        assert!(
            Program::compile(&" ".repeat(9000))
                .expect_err("long")
                .contains("9000 bytes")
        );
        assert!(Program::compile(&"[".repeat(4000)).is_err());
    }

    #[test]
    fn what_ends_the_process_or_never_ends_is_not_there() {
        for source in [
            "halt",
            "env",
            "$ENV",
            "now",
            "range(10)",
            "repeat(1)",
            "[recurse]",
            "until(false; .)",
            "input",
            "debug",
            "\"x\" | halt_error",
        ] {
            assert!(Program::compile(source).is_err(), "{source}");
        }
        // A field of such a name is no word of the language.
        assert!(Program::compile(".env // .def // .range").is_ok());
    }
}
