//! Maintenance windows: `Mon..Fri 02:00-04:00`, in the wall time of one zone.
//!
//! A window belongs to the days on which it opens; one that ends before it begins ends on the next day. Where the clocks
//! change, a time that does not exist is read as the one after the gap, and one that exists twice as the first: on
//! these days a window may be an hour longer, or be missing if nothing is left of it.

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span as Days, Timestamp};
use serde::{Deserialize, Serialize};

const HOUR: u16 = 60;
const DAY: u16 = 24 * HOUR;
const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// On which days something may happen, from when to when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    text: String,
    /// Monday first.
    days: [bool; 7],
    /// Minutes after the midnight before.
    from: u16,
    /// The same; beyond 24 hours for one that crosses midnight.
    to: u16,
}

/// A text is no [`Window`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no window: write `Mon..Fri 02:00-04:00`, `Sat,Sun 00:00-24:00` or `22:00-02:00`")]
pub struct BadWindow(String);

impl TryFrom<String> for Window {
    type Error = BadWindow;

    fn try_from(text: String) -> Result<Self, BadWindow> {
        let parsed = parse(&text);
        let (days, from, to) = parsed.ok_or_else(|| BadWindow(text.clone()))?;
        Ok(Self { text, days, from, to })
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.text
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse(text: &str) -> Option<([bool; 7], u16, u16)> {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let (days, times) = match words[..] {
        [times] => ([true; 7], times),
        [days, times] => (parse_days(days)?, times),
        _ => return None,
    };
    let (from, to) = times.split_once('-')?;
    let (from, to) = (parse_time(from)?, parse_time(to)?);
    if from == to || from == DAY {
        return None;
    }
    Some((days, from, if to < from { to + DAY } else { to }))
}

/// `Mon..Wed,Sat`; `Sat..Mon` goes over the end of the week.
fn parse_days(text: &str) -> Option<[bool; 7]> {
    let day = |name: &str| NAMES.iter().position(|it| it.eq_ignore_ascii_case(name));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        (first..=first + count).for_each(|day| days[day % 7] = true);
    }
    Some(days)
}

fn parse_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if good { text.parse::<u16>().ok() } else { None }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let time = hours * HOUR + minutes;
    (minutes < HOUR && time <= DAY).then_some(time)
}

impl Window {
    /// How long it is, in seconds, on a day on which no clock changes.
    pub fn seconds(&self) -> u64 {
        u64::from(self.to - self.from) * 60
    }

    /// When it opens and closes on `date`, if it does.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<Span> {
        if !self.days[usize::from(weekday(date.weekday()))] {
            return None;
        }
        let at = |minutes: u16| {
            let date = date.checked_add(Days::new().days(minutes / DAY)).ok()?;
            let minutes = minutes % DAY;
            let (hour, minute) = (minutes / HOUR, minutes % HOUR);
            let time = Time::new(hour.try_into().ok()?, minute.try_into().ok()?, 0, 0).ok()?;
            let moment = zone.to_timestamp(date.to_datetime(time)).ok()?;
            u64::try_from(moment.as_second()).ok()
        };
        let span = Span { start: at(self.from)?, end: at(self.to)? };
        (span.start < span.end).then_some(span)
    }
}

/// Days after Monday.
fn weekday(day: Weekday) -> u8 {
    day.to_monday_zero_offset().unsigned_abs()
}

/// A time during which a window is open: seconds since 1970, the end is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// When it opens.
    pub start: u64,
    /// When it closes.
    pub end: u64,
}

/// When the windows are open around `now`: a week and a day back, two weeks ahead. What touches is one.
fn spans(windows: &[Window], zone: &TimeZone, now: u64) -> Vec<Span> {
    let now = i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok());
    let Some(today) = now.map(|now| zone.to_datetime(now).date()) else { return Vec::new() };
    let days = (-8..=15).filter_map(|days| today.checked_add(Days::new().days(days)).ok());
    let all = days.flat_map(|date| windows.iter().filter_map(move |it| it.on(date, zone)));
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for span in all {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// The window that is open at `now`.
pub fn open(windows: &[Window], zone: &TimeZone, now: u64) -> Option<Span> {
    spans(windows, zone, now).into_iter().find(|span| span.start <= now && now < span.end)
}

/// The window that opens next after `now`.
pub fn next(windows: &[Window], zone: &TimeZone, now: u64) -> Option<Span> {
    spans(windows, zone, now).into_iter().find(|span| span.start > now)
}

#[cfg(test)]
mod tests;
