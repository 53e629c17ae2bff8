//! The ends of a command: its output, its warnings, and the person who is asked.

use std::io::{self, BufRead, IsTerminal, Write};

/// Standard output, standard error and standard input, and what is known of them.
pub struct Streams {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    input: Option<Box<dyn BufRead>>,
    /// Whether output may be coloured.
    pub colour: bool,
    /// Columns of the terminal; none when the output is not shown by one.
    pub width: Option<usize>,
}

/// The colours of a difference.
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const CYAN: &str = "\u{1b}[36m";
const RESET: &str = "\u{1b}[0m";

impl Streams {
    /// Those of the process.
    pub fn of_process() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let asks = io::stdin().is_terminal();
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            input: asks.then(|| Box::new(io::stdin().lock()) as Box<dyn BufRead>),
            colour: is_terminal && !is_set("NO_COLOR") && !is_dumb,
            width: is_terminal
                .then(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
                .flatten(),
        }
    }

    /// Writes text.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes a line to standard error, which is not part of the output.
    pub fn note(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.err, "{}", crate::text::visible(line))
    }

    /// Writes a warning.
    pub fn warn(&mut self, line: &str) -> io::Result<()> {
        self.note(&format!("Warning: {line}"))
    }

    /// Asks a question that is answered with yes or no; none when there is nobody to answer.
    pub fn ask(&mut self, question: &str) -> io::Result<Option<bool>> {
        let Some(input) = &mut self.input else {
            return Ok(None);
        };
        write!(self.err, "{question} [y/N] ")?;
        self.err.flush()?;
        let mut answer = String::new();
        input.read_line(&mut answer)?;
        let answer = answer.trim().to_lowercase();
        Ok(Some(matches!(answer.as_str(), "y" | "yes")))
    }

    /// A unified diff in the colours of its lines, where colours are wanted.
    pub fn painted(&self, diff: &str) -> String {
        if !self.colour {
            return diff.to_owned();
        }
        let paint = |line: &str| {
            let colour = match line.as_bytes() {
                [b'+', ..] => GREEN,
                [b'-', ..] => RED,
                [b'@', b'@', ..] => CYAN,
                _ => return format!("{line}\n"),
            };
            format!("{colour}{line}{RESET}\n")
        };
        diff.lines().map(paint).collect()
    }
}

/// Whether writing failed because the reader of the output has gone.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    pub(crate) struct Captured(Rc<RefCell<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).expect("text")
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn streams(answer: Option<&'static str>, colour: bool) -> (Streams, Captured) {
        let err = Captured::default();
        let streams = Streams {
            out: Box::new(io::sink()),
            err: Box::new(err.clone()),
            input: answer.map(|text| Box::new(text.as_bytes()) as Box<dyn BufRead>),
            colour,
            width: None,
        };
        (streams, err)
    }

    #[test]
    fn only_a_clear_yes_is_a_yes_and_nobody_is_no_answer() {
        for (answer, expected) in [
            (Some("y\n"), Some(true)),
            (Some("YES\n"), Some(true)),
            (Some("n\n"), Some(false)),
            (Some("\n"), Some(false)),
            (Some(""), Some(false)),
            (None, None),
        ] {
            let (mut streams, err) = streams(answer, false);
            assert_eq!(streams.ask("Sure?").expect("written"), expected);
            assert_eq!(err.text().is_empty(), answer.is_none());
        }
    }

    #[test]
    fn lines_of_a_diff_are_painted_only_where_colours_are_wanted() {
        let diff = "@@ -1 +1 @@\n-a\n+b\n c\n";
        let painted =
            "\u{1b}[36m@@ -1 +1 @@\u{1b}[0m\n\u{1b}[31m-a\u{1b}[0m\n\u{1b}[32m+b\u{1b}[0m\n c\n";
        assert_eq!(streams(None, true).0.painted(diff), painted);
        assert_eq!(streams(None, false).0.painted(diff), diff);
    }

    #[test]
    fn control_characters_of_a_warning_are_inert() {
        let (mut streams, err) = streams(None, false);
        streams.warn("a\u{1b}[31m").expect("written");
        assert_eq!(err.text(), "Warning: a\\u{1b}[31m\n");
    }
}
