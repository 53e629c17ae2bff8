//! Finds the secrets of free text: every format that the text may have is read, and every reader adds the parts that it
//! takes for secrets. Pure; every reader passes over the text a bounded number of times.

use super::Names;
use super::hidden::Hidden;
use super::name::{NameClass, is_hinted};
use super::read;
use super::value;
use std::ops::Range;

/// JSON in a shell command in YAML is read; deeper texts are read as they stand.
const MAX_DEPTH: usize = 4;
/// A shorter text without a sign in it holds no secret that could be told.
const SHORTEST: usize = 6;
/// A run of letters of tokens that is shorter is none.
const TOKEN: usize = 13;

/// A text that is read, within others.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) names: &'a Names,
    pub(super) text: &'a str,
    pub(super) depth: usize,
    pub(super) marks: Marks,
}

/// The signs that a text has. They tell which readers may find something in it.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks {
    signs: u16,
    /// The length of the longest run of letters of tokens.
    run: usize,
}

const SPACE: u16 = 1;
const LINE: u16 = 1 << 1;
const EQUALS: u16 = 1 << 2;
const COLON: u16 = 1 << 3;
const AT: u16 = 1 << 4;
const BRACKET: u16 = 1 << 5;
const LESS: u16 = 1 << 6;
const DASH: u16 = 1 << 7;
const PIPE: u16 = 1 << 8;

impl Marks {
    fn of(text: &str) -> Self {
        let mut marks = Self::default();
        let mut run = 0;
        for byte in text.bytes() {
            let is_of_run =
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'/');
            run = if is_of_run { run + 1 } else { 0 };
            marks.run = marks.run.max(run);
            marks.signs |= match byte {
                b'\n' | b'\r' => LINE | SPACE,
                b' ' | b'\t' => SPACE,
                b'=' => EQUALS,
                b':' => COLON,
                b'@' => AT,
                b'{' | b'[' => BRACKET,
                b'<' => LESS,
                b'-' => DASH,
                b'|' | b'>' | b'&' => PIPE,
                _ => 0,
            };
        }
        marks
    }

    /// Whether the text has one of these signs.
    fn any(self, signs: u16) -> bool {
        self.signs & signs != 0
    }

    /// Whether the text may be a line of commands.
    fn may_be_commands(self) -> bool {
        self.any(SPACE) && (self.any(DASH | PIPE | LESS | EQUALS | LINE) || self.run >= TOKEN)
    }
}

/// The secrets of a text.
pub(super) fn text(names: &Names, text: &str, depth: usize) -> Hidden {
    marked(names, text, depth, 0)
}

/// The secrets of a text that is known to be a script of commands, however few signs it has.
pub(super) fn script(names: &Names, text: &str, depth: usize) -> Hidden {
    marked(names, text, depth, LINE)
}

/// The secrets of a text that has these signs beside its own.
fn marked(names: &Names, text: &str, depth: usize, signs: u16) -> Hidden {
    if text.len() < SHORTEST || value::is_named_reference(text) {
        return Hidden::Nothing;
    }
    let mut marks = Marks::of(text);
    marks.signs |= signs;
    let scan = Scan {
        names,
        text,
        depth,
        marks,
    };
    let mut found = Vec::new();
    scan.read(&mut found);
    Hidden::parts(found)
}

impl Scan<'_> {
    fn read(self, found: &mut Vec<Range<usize>>) {
        let marks = self.marks;
        if marks.run >= TOKEN {
            read::shape::read(self, found);
        }
        if marks.any(DASH) && marks.any(SPACE) {
            read::pem::read(self, found);
        }
        if marks.any(COLON) {
            read::url::read(self, found);
        }
        if marks.any(AT) && marks.any(COLON) {
            read::account::read(self, found);
        }
        if marks.any(EQUALS | COLON) {
            read::assignment::read(self, found);
        }
        if marks.any(SPACE | EQUALS | COLON) && self.has_hint() {
            read::header::read(self, found);
            read::setting::read(self, found);
            read::prose::read(self, found);
        }
        if marks.any(LESS) {
            read::xml::read(self, found);
        }
        if self.may_nest() {
            self.read_nested(found);
        }
    }

    /// Whether some word of the text may name a secret. Most texts have none.
    fn has_hint(self) -> bool {
        !self.names.secret.is_empty() || is_hinted(self.text)
    }

    /// Whether texts within this one are read as texts of their own.
    pub(super) fn may_nest(self) -> bool {
        self.depth < MAX_DEPTH
    }

    /// Reads formats with texts in them.
    fn read_nested(self, found: &mut Vec<Range<usize>>) {
        if self.marks.any(BRACKET) {
            read::flow::read(self, found);
        }
        if self.marks.any(LINE) && self.marks.any(COLON | DASH) {
            read::block::read(self, found);
        }
        if self.marks.may_be_commands() {
            read::shell::read(self, found);
        }
    }

    /// Adds a part when it is a secret below a name of this class.
    pub(super) fn judge(
        self,
        class: NameClass,
        part: Range<usize>,
        found: &mut Vec<Range<usize>>,
    ) -> bool {
        let is_secret = self
            .text
            .get(part.clone())
            .is_some_and(|text| value::is_secret(class, text));
        if is_secret {
            found.push(part);
        }
        is_secret
    }
}
