//! Times as people type them: `2026-11-20T10:00Z`, `2026-11-20`, `2h`, `1d12h`. Pure.

use chrono::{DateTime, NaiveDate, SubsecRound, TimeDelta, Utc};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This time.
    Time(DateTime<Utc>),
    /// So long ago.
    Ago(Duration),
}

impl Moment {
    /// The moment, when it is `now`.
    pub fn time(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Time(time) => time,
            Self::Ago(duration) => TimeDelta::from_std(duration)
                .ok()
                .and_then(|delta| now.checked_sub_signed(delta))
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }

    /// The end of its second. Times of changes have whole seconds, so a second is the shortest time that can be told.
    pub fn end(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let second = self.time(now).trunc_subsecs(0);
        second
            .checked_add_signed(TimeDelta::seconds(1))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(duration) = duration(text) {
            return Ok(Self::Ago(duration));
        }
        if let Some(time) = date_time(text) {
            return Ok(Self::Time(time));
        }
        Err(format!(
            "{text:?} is no time: 2026-11-20T10:00Z, 2026-11-20, or how long ago, as 90s, 2h or 3d"
        ))
    }
}

fn date_time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"];
    let text = text.replace('Z', "+00:00");
    let times = formats
        .iter()
        .filter_map(|format| DateTime::parse_from_str(&text, format).ok());
    times.map(|time| time.to_utc()).next()
}

/// A duration as kubectl takes it: `1h30m`, `500ms`; also days. None for anything else.
pub fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |at| digits + at);
        let milliseconds = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = &rest[unit_end..];
    }
    Some(total)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => f.write_str(&super::rfc3339(*time)),
            Self::Ago(ago) => write!(f, "{} ago", written(*ago)),
        }
    }
}

/// A duration in whole seconds, as [`duration`] reads it.
pub fn written(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if seconds >= length {
            text.push_str(&(seconds / length).to_string());
            text.push_str(unit);
        }
        seconds %= length;
    }
    text
}

/// A duration in at most two units, as kubectl writes ages.
pub fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let [minutes, hours, days] = [seconds / 60, seconds / 3600, seconds / 86_400];
    let two = |whole: u64, unit: char, rest: u64, smaller: char| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{smaller}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_read() {
        let now: DateTime<Utc> = "2026-11-20T12:00:00.5Z".parse().expect("a time");
        for (text, end) in [
            ("2026-11-20T10:00Z", "2026-11-20T10:00:01Z"),
            ("2026-11-20T10:00:07Z", "2026-11-20T10:00:08Z"),
            ("2026-11-20T10:00:07.9Z", "2026-11-20T10:00:08Z"),
            ("2026-11-20T10:00:00+02:00", "2026-11-20T08:00:01Z"),
            ("2026-11-20", "2026-11-20T00:00:01Z"),
            ("2h", "2026-11-20T10:00:01Z"),
            ("1h30m", "2026-11-20T10:30:01Z"),
            ("1d12h", "2026-11-19T00:00:01Z"),
        ] {
            let moment: Moment = text.parse().expect(text);
            let end: DateTime<Utc> = end.parse().expect("a time");
            assert_eq!(moment.end(now), end, "{text}");
        }
        for wrong in [
            "",
            "h",
            "2",
            "2w",
            "-2h",
            "2026-13-01",
            "10:00",
            "1h2",
            "99999999999999999999h",
        ] {
            let error = wrong.parse::<Moment>().expect_err(wrong);
            assert!(error.contains("is no time"), "{error}");
        }
        let all_time: Moment = "213503982334d".parse().expect("long ago");
        assert_eq!(all_time.time(now), DateTime::<Utc>::MIN_UTC);
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "90s", "2h", "1h30m", "1d12h", "3d1s"] {
            let read = duration(text).expect(text);
            assert_eq!(duration(&written(read)), Some(read), "{text}");
        }
        assert_eq!(written(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (5400, "90m"),
            (11_000, "3h3m"),
            (36_000, "10h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (70_000_000, "2y"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }
}
