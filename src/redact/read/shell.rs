//! Lines of commands, as a POSIX shell reads them: words, quotes, pipes, redirections, here-documents, lines that go on.
//! Pure, and one pass over the text; the lines of a here-document are left to the other readers.

use super::argv;
use super::tools::TOOLS;
use crate::redact::hidden::Hidden;
use crate::redact::lex::{Piece, PieceBuilder, byte, closing, line_end};
use crate::redact::name::NameClass;
use crate::redact::scan::Scan;
use crate::redact::value::is_secret;
use std::ops::Range;

/// Comments and expansions within each other are read so deep.
const MAX_LEVELS: usize = 4;
/// Commands that print their arguments.
const PRINTERS: &[&str] = &["echo", "printf"];
/// Words that may stand before the name of a command.
const BEFORE: &[&str] = &[
    "sudo", "exec", "builtin", "command", "then", "do", "else", "!", "{", "time",
];
/// The end of flags by which a tool is told to read a secret from its standard input.
const STDIN: &str = "-stdin";

/// One command, with its input and its output.
#[derive(Default)]
struct Command<'t> {
    words: Vec<Piece<'t>>,
    /// The file that it writes to.
    target: Option<String>,
    /// The text behind `<<<`, which it reads.
    input: Option<Piece<'t>>,
    /// Whether the next command reads its output.
    is_piped: bool,
}

/// An operator between two words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Write,
    Read,
    HereText,
    HereDocument,
    Pipe,
    End,
}

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    read_lines(scan, 0..scan.text.len(), 0, found);
}

/// Reads the commands of a part of the text, and those of comments and expansions in it.
fn read_lines(scan: Scan<'_>, part: Range<usize>, level: usize, found: &mut Vec<Range<usize>>) {
    let mut lexer = Lexer::new(&scan.text[..part.end], part.start);
    lexer.read();
    for (at, command) in lexer.commands.iter().enumerate() {
        let next = lexer.commands.get(at + 1).filter(|_| command.is_piped);
        judge(scan, command, next, found);
    }
    if level < MAX_LEVELS {
        for inner in lexer.inner {
            read_lines(scan, inner, level + 1, found);
        }
    }
}

fn judge(
    scan: Scan<'_>,
    command: &Command<'_>,
    next: Option<&Command<'_>>,
    found: &mut Vec<Range<usize>>,
) {
    let words: Vec<&str> = command.words.iter().map(|word| &*word.text).collect();
    let mut hidden = argv::read(scan.names, &[], &words, scan.depth + 1);
    let is_printed = next.is_some_and(Command::reads_secret)
        || command
            .target
            .as_deref()
            .is_some_and(|file| is_secret_file(scan, file));
    hide_printed(&words, &mut hidden, is_printed);
    for (word, hidden) in command.words.iter().zip(&hidden) {
        let parts = hidden.ranges(&word.text);
        found.extend(parts.iter().map(|part| word.place_of(part)));
    }
    if let Some(input) = command.input.as_ref().filter(|_| command.reads_secret()) {
        scan.judge(NameClass::Secret, input.place.clone(), found);
    }
}

/// Hides the output of `echo` and `printf` where a secret is read, and the values that `printf` puts in place of a secret.
fn hide_printed(words: &[&str], hidden: &mut [Hidden], is_secret_read: bool) {
    let Some(printer) = words.iter().position(|word| !BEFORE.contains(word)) else {
        return;
    };
    if !PRINTERS.contains(&words[printer]) {
        return;
    }
    let mut is_secret_printed = is_secret_read;
    let is_format = words[printer] == "printf";
    for (at, word) in words.iter().enumerate().skip(printer + 1) {
        let is_flag = at == printer + 1 && word.starts_with('-');
        let is_template = is_format && word.contains('%') && at == printer + 1;
        if is_secret_printed && !is_flag && !is_template && is_secret(NameClass::Secret, word) {
            hidden[at] = Hidden::Whole;
        }
        is_secret_printed |= is_template && hidden[at] != Hidden::Nothing;
    }
}

/// Whether a file of this name holds a secret.
fn is_secret_file(scan: Scan<'_>, file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    TOOLS.files.contains(&name) || scan.names.class(name).is_secret()
}

impl Command<'_> {
    /// Whether it reads a secret from its standard input.
    fn reads_secret(&self) -> bool {
        let words = || self.words.iter().map(|word| &*word.text);
        let Some(tool) = words().find_map(|word| TOOLS.find(word)) else {
            return words().any(|word| word.ends_with(STDIN));
        };
        let is_entered = tool.verbs.is_empty() || words().any(|word| tool.verbs.contains(&word));
        (tool.reads_stdin && is_entered) || words().any(|word| word.ends_with(STDIN))
    }
}

/// Reads words and signs.
struct Lexer<'t> {
    text: &'t str,
    at: usize,
    commands: Vec<Command<'t>>,
    command: Command<'t>,
    /// The sign before the next word.
    sign: Option<Sign>,
    /// The words that end here-documents whose lines come next.
    documents: Vec<String>,
    /// Whether quotes of a sort are not closed any more.
    unclosed: [bool; 2],
    /// The insides of comments and of `$(command)`, which are read as lines of their own.
    inner: Vec<Range<usize>>,
}

impl<'t> Lexer<'t> {
    fn new(text: &'t str, at: usize) -> Self {
        Self {
            text,
            at,
            commands: Vec::new(),
            command: Command::default(),
            sign: None,
            documents: Vec::new(),
            unclosed: [false; 2],
            inner: Vec::new(),
        }
    }

    /// Reads all commands.
    fn read(&mut self) {
        while self.at < self.text.len() {
            if let Some((sign, length)) = self.next_sign() {
                self.take_sign(sign, length);
            } else {
                match byte(self.text, self.at) {
                    b'\n' => {
                        self.end(false);
                        self.at += 1;
                        self.skip_documents();
                    }
                    b' ' | b'\t' | b'\r' => self.at += 1,
                    b'\\' if byte(self.text, self.at + 1) == b'\n' => self.at += 2,
                    b'#' if self.sign.is_none() => self.comment(),
                    _ => self.word(),
                }
            }
        }
        self.end(false);
    }

    /// Passes a comment: an apostrophe in it begins no quotation outside of it.
    fn comment(&mut self) {
        let end = line_end(self.text, self.at);
        self.inner.push(self.at + 1..end);
        self.at = end;
    }

    /// The sign at this place, and its length.
    fn next_sign(&self) -> Option<(Sign, usize)> {
        let rest = &self.text.as_bytes()[self.at..];
        let signs: &[(&[u8], Sign)] = &[
            (b"<<<", Sign::HereText),
            (b"<<-", Sign::HereDocument),
            (b"<<", Sign::HereDocument),
            (b"<", Sign::Read),
            (b">>", Sign::Write),
            (b">", Sign::Write),
            (b"||", Sign::End),
            (b"&&", Sign::End),
            (b"|", Sign::Pipe),
            (b";", Sign::End),
            (b"&", Sign::End),
            (b"`", Sign::End),
            (b"(", Sign::End),
            (b")", Sign::End),
        ];
        let mut signs = signs.iter();
        let (text, sign) = signs.find(|(text, _)| rest.starts_with(text))?;
        Some((*sign, text.len()))
    }

    fn take_sign(&mut self, sign: Sign, length: usize) {
        self.at += length;
        match sign {
            Sign::Pipe => self.end(true),
            Sign::End => self.end(false),
            _ => self.sign = Some(sign),
        }
    }

    /// Ends a command.
    fn end(&mut self, is_piped: bool) {
        self.sign = None;
        let mut command = std::mem::take(&mut self.command);
        command.is_piped = is_piped;
        if !command.words.is_empty() {
            self.commands.push(command);
        }
    }

    /// Passes the lines of here-documents.
    fn skip_documents(&mut self) {
        for end in std::mem::take(&mut self.documents) {
            while self.at < self.text.len() {
                let line = line_end(self.text, self.at);
                let is_end = self.text[self.at..line].trim() == end;
                self.at = (line + 1).min(self.text.len());
                if is_end {
                    break;
                }
            }
        }
    }

    fn word(&mut self) {
        let word = self.piece();
        match self.sign.take() {
            Some(Sign::Write) => self.command.target = Some(word.text.into_owned()),
            Some(Sign::HereText) => self.command.input = Some(word),
            Some(Sign::HereDocument) => self.documents.push(word.text.into_owned()),
            Some(Sign::Read) => {}
            _ => self.command.words.push(word),
        }
    }

    /// A word without its quotes.
    fn piece(&mut self) -> Piece<'t> {
        let start = self.at;
        let mut built = PieceBuilder::new();
        let mut is_quoted = false;
        while self.at < self.text.len() {
            match byte(self.text, self.at) {
                b' ' | b'\t' | b'\n' | b'\r' => break,
                b'$' if matches!(byte(self.text, self.at + 1), b'(' | b'{') => {
                    self.expansion(&mut built);
                }
                b'$' if byte(self.text, self.at + 1) == b'\'' => self.at += 1,
                quote @ (b'"' | b'\'') if self.quotation(quote, &mut built) => is_quoted = true,
                b'\\' if byte(self.text, self.at + 1) == b'\n' => self.at += 2,
                b'\\' if self.at + 1 < self.text.len() => {
                    self.at = built.copy(self.text, self.at + 1);
                    is_quoted = true;
                }
                _ if self.next_sign().is_some() && self.at > start => break,
                _ => self.at = built.copy(self.text, self.at),
            }
        }
        if is_quoted || built.is_empty() {
            built.build(start..self.at)
        } else {
            Piece::plain(self.text, start..self.at)
        }
    }

    /// Copies `$(command)` or `${name}` as it is: spaces in it end no word.
    fn expansion(&mut self, built: &mut PieceBuilder) {
        let (open, close) = match byte(self.text, self.at + 1) {
            b'(' => (b'(', b')'),
            _ => (b'{', b'}'),
        };
        let start = self.at + 2;
        let mut depth = 0_usize;
        let end = line_end(self.text, self.at);
        while self.at < end {
            let found = byte(self.text, self.at);
            self.at = built.copy(self.text, self.at);
            if found == open {
                depth += 1;
            } else if found == close {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    if open == b'(' {
                        self.inner.push(start..self.at - 1);
                    }
                    return;
                }
            }
        }
    }

    /// Copies the text between quotes; an apostrophe that is closed nowhere is a letter.
    fn quotation(&mut self, quote: u8, built: &mut PieceBuilder) -> bool {
        let sort = usize::from(quote == b'\'');
        if self.unclosed[sort] {
            return false;
        }
        let Some(end) = self.quotation_end(quote) else {
            self.unclosed[sort] = true;
            return false;
        };
        self.at += 1;
        while self.at < end {
            let next = byte(self.text, self.at + 1);
            if quote == b'"' && byte(self.text, self.at) == b'\\' {
                if next == b'\n' {
                    self.at += 2;
                    continue;
                }
                self.at += usize::from(b"\"\\$`".contains(&next));
            }
            self.at = built.copy(self.text, self.at);
        }
        self.at = end + 1;
        true
    }

    fn quotation_end(&self, quote: u8) -> Option<usize> {
        let inside = self.at + 1;
        if quote == b'\'' {
            return self.text[inside..].find('\'').map(|end| inside + end);
        }
        closing(self.text, inside, quote, 0).map(|end| end.start)
    }
}
