//! A list of arguments: an item is judged with all items before it. Pure.

use super::tools::{TOOLS, Tool};
use crate::redact::Names;
use crate::redact::hidden::Hidden;
use crate::redact::name::{NameClass, is_switch};
use crate::redact::scan;
use crate::redact::value::{self, has_password, is_secret, looks_random};

/// A flag whose value is still to come.
#[derive(Clone, Copy)]
struct Pending {
    class: NameClass,
    /// Whether the value is `user:password`.
    is_account: bool,
    /// Whether further values may stand behind the first one.
    takes_several: bool,
    /// Whether the first one was read.
    is_further: bool,
}

/// The tool whose arguments are read.
#[derive(Clone, Copy, Default)]
struct Command<'t> {
    tool: Option<&'t Tool>,
    stage: Stage,
    /// The number of arguments behind the verb.
    place: usize,
    /// Whether the letter that makes the last argument a secret was read.
    is_last_secret: bool,
}

/// How far a command is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// No tool was read, or its verb comes yet.
    #[default]
    Start,
    /// The next item is an argument behind the verb.
    Arguments,
    /// A shell was read.
    Shell,
    /// The next item is the script of a shell.
    Script,
}

/// A flag of a shell that ends in this has a script behind it.
const SCRIPT: char = 'c';
const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"];

/// Reads a list from its beginning.
pub(in crate::redact) struct Arguments<'n> {
    names: &'n Names,
    depth: usize,
    command: Command<'static>,
    pending: Option<Pending>,
}

/// The secrets of each item; `before` are the items before them, such as the command.
pub(in crate::redact) fn read(
    names: &Names,
    before: &[&str],
    items: &[&str],
    depth: usize,
) -> Vec<Hidden> {
    let mut list = Arguments {
        names,
        depth,
        command: Command::default(),
        pending: None,
    };
    for item in before {
        list.item(item);
    }
    let mut all: Vec<_> = items.iter().map(|item| list.item(item)).collect();
    if list.command.is_last_secret
        && let (Some(hidden), Some(item)) = (all.last_mut(), items.last())
        && is_secret(NameClass::Secret, item)
    {
        *hidden = Hidden::Whole;
    }
    all
}

impl Arguments<'_> {
    fn item(&mut self, item: &str) -> Hidden {
        if let Some(pending) = self.pending.take()
            && let Some(hidden) = self.value_of(pending, item)
        {
            return hidden;
        }
        if self.command.stage == Stage::Script {
            self.command.stage = Stage::Shell;
            return scan::script(self.names, item, self.depth);
        }
        if is_flag(item) {
            if self.command.stage == Stage::Shell && item.ends_with(SCRIPT) {
                self.command.stage = Stage::Script;
            }
            return self.flag(item);
        }
        if let Some(start) = self.assigned(item) {
            return self.rest(item, start);
        }
        self.positional(item)
    }

    /// The value of a flag that stands before the item; none when the item is another flag.
    fn value_of(&mut self, pending: Pending, item: &str) -> Option<Hidden> {
        if is_flag(item) && !looks_random(item.trim_start_matches('-')) {
            return None;
        }
        if pending.is_account {
            return Some(self.account(item, 0));
        }
        let is_random = looks_random(item);
        let is_alike = is_random || (pending.takes_several && !item.contains(['/', '=']));
        if pending.is_further && !is_alike {
            return None;
        }
        self.pending = (pending.takes_several || is_random).then_some(Pending {
            is_further: true,
            ..pending
        });
        if is_secret(pending.class, item) {
            Some(Hidden::Whole)
        } else {
            Some(self.text(item))
        }
    }

    fn flag(&mut self, item: &str) -> Hidden {
        if let Some(hidden) = self.flag_of_tool(item) {
            return hidden;
        }
        let (flag, value) = match item.find('=') {
            Some(sign) => (&item[..sign], Some(sign + 1)),
            None => (item, None),
        };
        let class = self.class_of_name(flag);
        let is_account = TOOLS.account.contains(&flag);
        match value {
            Some(start) if is_account => self.account(item, start),
            Some(start) if is_secret(class, &item[start..]) => self.rest(item, start),
            Some(_) => self.text(item),
            None => {
                let takes_value = is_account || (class.is_secret() && !is_switch(flag));
                self.pending = takes_value.then(|| Pending {
                    class,
                    is_account,
                    takes_several: takes_several(flag),
                    is_further: false,
                });
                self.text(item)
            }
        }
    }

    /// The secret behind a flag that holds one by the custom of the tool.
    fn flag_of_tool(&mut self, item: &str) -> Option<Hidden> {
        let is_entered = self.command.stage == Stage::Arguments;
        let tool = self.command.tool.filter(|_| is_entered)?;
        let letters = item.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
        if let (Some(last), Some(letters)) = (tool.last, letters) {
            self.command.is_last_secret |= letters.contains(last);
        }
        let is_random = tool.random.contains(&item);
        let is_next = is_random || tool.next.contains(&item);
        let is_account = tool.account.contains(&item);
        if is_next || is_account {
            self.pending = Some(Pending {
                class: if is_random {
                    NameClass::Either
                } else {
                    NameClass::Secret
                },
                is_account,
                takes_several: false,
                is_further: false,
            });
            return Some(Hidden::Nothing);
        }
        if let Some(flag) = begins_with(&tool.joined, item) {
            let is_secret = is_secret(NameClass::Secret, &item[flag.len()..]);
            return Some(if is_secret {
                self.rest(item, flag.len())
            } else {
                self.text(item)
            });
        }
        let flag = begins_with(&tool.account, item).filter(|_| !item.starts_with("--"))?;
        Some(self.account(item, flag.len()))
    }

    /// The start of the value of `NAME=value`, where the name is that of a secret.
    fn assigned(&self, item: &str) -> Option<usize> {
        let sign = item.find('=')?;
        let class = self.class_of_name(item[..sign].trim_start_matches('+'));
        is_secret(class, &item[sign + 1..]).then_some(sign + 1)
    }

    /// The class of a name; a text with other signs in it is none.
    fn class_of_name(&self, name: &str) -> NameClass {
        let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b) || !b.is_ascii();
        if name.bytes().all(is_of_name) {
            self.names.class(name)
        } else {
            NameClass::Plain
        }
    }

    fn positional(&mut self, item: &str) -> Hidden {
        let command = self.command;
        let Some(tool) = command.tool.filter(|_| !is_command(item)) else {
            self.enter(item);
            return self.text(item);
        };
        if tool.is_wrapper {
            self.command = Command::default();
            return self.text(item);
        }
        if command.stage == Stage::Start {
            if tool.verbs.contains(&item) {
                self.command.stage = Stage::Arguments;
            }
            return self.text(item);
        }
        self.command.place += 1;
        let is_place = tool.place == Some(self.command.place) && !item.contains('=');
        if is_place && is_secret(NameClass::Secret, item) {
            return Hidden::Whole;
        }
        let class = self.names.class(item);
        if tool.is_pair && class.is_secret() {
            self.pending = Some(Pending {
                class,
                is_account: false,
                takes_several: false,
                is_further: false,
            });
        }
        self.text(item)
    }

    /// Begins to read the arguments of a tool.
    fn enter(&mut self, item: &str) {
        let name = item.rsplit('/').next().unwrap_or(item);
        if SHELLS.contains(&name) {
            self.command = Command {
                stage: Stage::Shell,
                ..Command::default()
            };
        }
        if let Some(tool) = TOOLS.find(item) {
            let needs_verb = !tool.verbs.is_empty();
            self.command = Command {
                tool: Some(tool),
                stage: if needs_verb {
                    Stage::Start
                } else {
                    Stage::Arguments
                },
                ..Command::default()
            };
        }
    }

    /// The password of `user:password`, which begins at `start`.
    fn account(&self, item: &str, start: usize) -> Hidden {
        let account = value::unquoted(&item[start..]);
        match item[start..].find(':') {
            Some(colon) if has_password(account) => self.rest(item, start + colon + 1),
            _ => self.text(item),
        }
    }

    /// The rest of the item is a secret.
    fn rest(&self, item: &str, start: usize) -> Hidden {
        let mut parts = self.text(&item[..start]).ranges(&item[..start]);
        parts.push(start..item.len());
        Hidden::parts(parts)
    }

    fn text(&self, item: &str) -> Hidden {
        scan::text(self.names, item, self.depth)
    }
}

fn takes_several(flag: &str) -> bool {
    let name = flag.trim_end_matches(|c: char| c.is_ascii_digit());
    TOOLS.several.contains(&name)
}

/// The flag, one of one letter, that the item begins with and goes on behind.
fn begins_with<'f>(flags: &[&'f str], item: &str) -> Option<&'f str> {
    let mut flags = flags.iter().copied();
    flags.find(|flag| item.len() > flag.len() && item.starts_with(flag))
}

/// Whether the item is the name of a tool. Inside the arguments of another one it begins the command of a wrapper.
fn is_command(item: &str) -> bool {
    TOOLS.find(item).is_some()
}

/// Whether an item is a flag, and no negative number.
fn is_flag(item: &str) -> bool {
    let rest = item.trim_start_matches('-');
    rest.len() < item.len() && rest.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
