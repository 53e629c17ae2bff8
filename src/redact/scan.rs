//! Finds the secrets of free text: every format that the text may have is read, and every reader adds the parts that it
//! takes for secrets. Pure; every reader passes over the text a bounded number of times.

use super::Names;
use super::hidden::Hidden;
use super::name::NameClass;
use super::read;
use super::value;
use std::ops::Range;

/// JSON in a shell command in YAML is read; what is nested deeper is read as the text that it is.
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
    space: bool,
    line: bool,
    equals: bool,
    colon: bool,
    at: bool,
    bracket: bool,
    less: bool,
    dash: bool,
    pipe: bool,
    run: usize,
}

impl Marks {
    fn of(text: &str) -> Self {
        let mut marks = Self::default();
        let mut run = 0;
        for byte in text.bytes() {
            let is_of_run = byte.is_ascii_alphanumeric() || b"_-.+/".contains(&byte);
            run = if is_of_run { run + 1 } else { 0 };
            marks.run = marks.run.max(run);
            match byte {
                b'\n' | b'\r' => {
                    marks.line = true;
                    marks.space = true;
                }
                b' ' | b'\t' => marks.space = true,
                b'=' => marks.equals = true,
                b':' => marks.colon = true,
                b'@' => marks.at = true,
                b'{' | b'[' => marks.bracket = true,
                b'<' => marks.less = true,
                b'-' => marks.dash = true,
                b'|' | b'>' | b'&' => marks.pipe = true,
                _ => {}
            }
        }
        marks
    }

    /// Whether the text may be a line of commands.
    fn may_be_commands(self) -> bool {
        let has_sign = self.dash || self.pipe || self.less || self.equals || self.line;
        self.space && (has_sign || self.run >= TOKEN)
    }
}

/// The secrets of a text.
pub(super) fn text(names: &Names, text: &str, depth: usize) -> Hidden {
    if text.len() < SHORTEST || value::is_named_reference(text) {
        return Hidden::Nothing;
    }
    let marks = Marks::of(text);
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
        if marks.dash && marks.space {
            read::pem::read(self, found);
        }
        if marks.colon {
            read::url::read(self, found);
        }
        if marks.at && marks.colon {
            read::account::read(self, found);
        }
        if marks.equals || marks.colon {
            read::assignment::read(self, found);
        }
        if marks.space || marks.equals || marks.colon {
            read::header::read(self, found);
        }
        if marks.space {
            read::setting::read(self, found);
        }
        if marks.less {
            read::xml::read(self, found);
        }
        if self.may_nest() {
            self.read_nested(found);
        }
    }

    /// Whether texts within this one are read as texts of their own.
    pub(super) fn may_nest(self) -> bool {
        self.depth < MAX_DEPTH
    }

    /// Reads formats with texts in them.
    fn read_nested(self, found: &mut Vec<Range<usize>>) {
        if self.marks.bracket {
            read::flow::read(self, found);
        }
        if self.marks.line && (self.marks.colon || self.marks.dash) {
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
