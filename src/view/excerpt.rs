//! The parts of two long texts that differ, with what stands around them. Pure, and bounded in time and length.

use crate::text::cut;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::ops::Range;

/// More words between the first difference and the last one are not compared one by one.
const MAX_WORDS: usize = 1500;
/// Differences with so few words between them are one.
const NEAR: usize = 3;
/// Stands for what is left out.
const ELLIPSIS: &str = "…";

/// The old part and the new part of one difference.
pub(super) type Excerpt = [String; 2];

/// At most `most` differences, each in at most `max` characters; short texts are shown whole.
pub(super) fn excerpts(texts: [&str; 2], max: usize, most: usize) -> Vec<Excerpt> {
    let is_short = |text: &str| text.chars().nth(max).is_none();
    if texts.iter().all(|text| is_short(text)) {
        return vec![texts.map(str::to_owned)];
    }
    let words = texts.map(words);
    let hunks = hunks(&words);
    if hunks.is_empty() {
        return vec![texts.map(|text| cut(text, max).into_owned())];
    }
    let shown = hunks.iter().take(most);
    shown.map(|hunk| excerpt(&words, hunk, max)).collect()
}

/// The one difference of two texts, without what stands around it, and the flag or key before it; none when there are
/// more.
pub(super) fn focus(texts: [&str; 2]) -> Option<(Option<String>, Excerpt)> {
    let words = texts.map(words);
    let hunks = hunks(&words);
    let [hunk] = hunks.as_slice() else {
        return None;
    };
    let [old, new] = [0, 1].map(|side| words[side][hunk[side].clone()].concat());
    let [old, new] = [old.trim(), new.trim()];
    let assigned = old.split_once('=').zip(new.split_once('='));
    if let Some(((flag, old), (_, new))) = assigned.filter(|(old, new)| old.0 == new.0) {
        return Some((Some(flag.to_owned()), [old.to_owned(), new.to_owned()]));
    }
    let before = hunk[1].start.checked_sub(1).map(|at| words[1][at].trim());
    let is_name = |word: &&str| word.starts_with('-') || word.ends_with([':', '=']);
    let name = before.filter(is_name);
    let name = name.map(|name| {
        name.trim_end_matches([':', '='])
            .trim_matches('"')
            .to_owned()
    });
    Some((name, [old.to_owned(), new.to_owned()]))
}

/// The words of a text, each with what separates it from the next.
fn words(text: &str) -> Vec<&str> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '|' | '{' | '}');
    let mut words = Vec::new();
    let mut start = 0;
    let mut ended = false;
    for (at, c) in text.char_indices() {
        let ends = is_end(c);
        if ended && !ends {
            words.push(&text[start..at]);
            start = at;
        }
        // A line ends a word in any case, so that a window can end there.
        ended = ends;
        if c == '\n' {
            words.push(&text[start..=at]);
            start = at + 1;
            ended = false;
        }
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

/// Where the words differ, on both sides.
fn hunks(words: &[Vec<&str>; 2]) -> Vec<[Range<usize>; 2]> {
    let [old, new] = words;
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let ends = old[start..].iter().rev().zip(new[start..].iter().rev());
    let end = ends.take_while(|(a, b)| a == b).count();
    let middle = [start..old.len() - end, start..new.len() - end];
    if middle.iter().all(Range::is_empty) {
        return Vec::new();
    }
    if middle.iter().any(|range| range.len() > MAX_WORDS) {
        return vec![middle];
    }
    let [a, b] = middle;
    let ops = capture_diff_slices(Algorithm::Myers, &old[a], &new[b]);
    let mut hunks: Vec<[Range<usize>; 2]> = Vec::new();
    for op in ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. })) {
        let [a, b] = [op.old_range(), op.new_range()].map(|it| it.start + start..it.end + start);
        match hunks.last_mut() {
            Some([old, new]) if a.start <= old.end + NEAR => {
                old.end = a.end;
                new.end = b.end;
            }
            _ => hunks.push([a, b]),
        }
    }
    hunks
}

/// A difference with as much of its line around it as fits.
fn excerpt(words: &[Vec<&str>; 2], hunk: &[Range<usize>; 2], max: usize) -> Excerpt {
    let length = |side: usize, range: Range<usize>| -> usize {
        words[side][range]
            .iter()
            .map(|word| word.chars().count())
            .sum()
    };
    let longest = [0, 1]
        .map(|side| length(side, hunk[side].clone()))
        .into_iter()
        .max();
    let mut room = max.saturating_sub(longest.unwrap_or_default() + 2);
    let fits = |word: &str, room: &mut usize| {
        let left = room.checked_sub(word.chars().count());
        *room = left.unwrap_or(*room);
        left.is_some()
    };
    let before = words[0][..hunk[0].start].iter().rev();
    let before = before
        .enumerate()
        .take_while(|(at, word)| (*at == 0 || !word.ends_with('\n')) && fits(word, &mut room))
        .count();
    let mut is_open = hunk.iter().enumerate().all(|(side, range)| {
        let last = words[side][range.clone()].last();
        last.is_none_or(|word| !word.ends_with('\n'))
    });
    let after = words[0][hunk[0].end..].iter();
    let after = after
        .take_while(|word| {
            let goes_on = is_open && fits(word, &mut room);
            is_open &= !word.ends_with('\n');
            goes_on
        })
        .count();
    [0, 1].map(|side| {
        let range = hunk[side].start - before..hunk[side].end + after;
        let text = words[side][range.clone()].concat();
        let start = if range.start > 0 { ELLIPSIS } else { "" };
        let end = if range.end < words[side].len() {
            ELLIPSIS
        } else {
            ""
        };
        let text = text.trim_matches('\n').trim_end_matches(' ');
        let text = cut(text, max.saturating_sub(2));
        let end = if text.ends_with('…') { "" } else { end };
        format!("{start}{text}{end}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> Vec<String> {
        let all = excerpts([old, new], 60, 4);
        all.iter()
            .map(|[old, new]| format!("{old} → {new}"))
            .collect()
    }

    #[test]
    fn the_changed_part_of_a_long_text_is_shown() {
        let script = |length: u32| {
            format!(
                "set -e\nexport A=1\nexport NCCL_SOCKET_IFNAME=eth0\nexec vllm serve org/model --tensor-parallel-size 8 --max-model-len {length} --port 8000\ntrue\n"
            )
        };
        assert_eq!(
            shown(&script(32768), &script(65536)),
            [
                "…org/model --tensor-parallel-size 8 --max-model-len 32768… → …org/model --tensor-parallel-size 8 --max-model-len 65536…"
            ]
        );
        let lines = |a: u32, b: u32| {
            let filler = "nothing changes here\n".repeat(3);
            format!("{filler}a: {a}\n{filler}b: {b}\n{filler}")
        };
        assert_eq!(
            shown(&lines(1, 2), &lines(3, 4)),
            ["…a: 1… → …a: 3…", "…b: 2… → …b: 4…"]
        );
        let added = lines(1, 2).replace("b: 2\n", "b: 2\nc: 5\n");
        assert_eq!(shown(&lines(1, 2), &added), ["…b: 2… → …b: 2\nc: 5…"]);
        assert_eq!(shown("a", "b"), ["a → b"]);
        let long = "x".repeat(200);
        let all = excerpts([&long, "y"], 60, 4);
        assert!(
            all[0].iter().all(|side| side.chars().count() <= 60),
            "{all:?}"
        );
    }

    #[test]
    fn one_difference_is_named_by_what_stands_before_it() {
        let focused = |old, new| focus([old, new]);
        let named = |name: &str, old: &str, new: &str| {
            Some((Some(name.to_owned()), [old.to_owned(), new.to_owned()]))
        };
        assert_eq!(
            focused("serve m --len 1 --p 2", "serve m --len 3 --p 2"),
            named("--len", "1", "3")
        );
        assert_eq!(focused("--len=1", "--len=3"), named("--len", "1", "3"));
        assert_eq!(
            focused("a:\n  n: 1\n", "a:\n  n: 2\n"),
            named("n", "1", "2")
        );
        assert_eq!(
            focused("a", "b"),
            Some((None, ["a".to_owned(), "b".to_owned()]))
        );
        assert_eq!(focused("1 a b c d e 2", "3 a b c d e 4"), None);
    }

    proptest::proptest! {
        #[test]
        fn excerpts_are_short_and_differ(a in "[a-c \n,=-]{0,200}", b in "[a-c \n,=-]{0,200}") {
            for [old, new] in excerpts([&a, &b], 40, 4) {
                proptest::prop_assert!(old.chars().count() <= 40 && new.chars().count() <= 40);
            }
        }
    }
}
