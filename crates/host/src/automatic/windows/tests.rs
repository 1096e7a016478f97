use super::*;
use crate::automatic::zone;
use proptest::prelude::*;

fn windows(texts: &[&str]) -> Vec<Window> {
    texts.iter().map(|text| (*text).to_owned().try_into().unwrap()).collect()
}

fn zone(name: &str) -> TimeZone {
    zone::find(&crate::Root("/nonexistent".into()), name).unwrap()
}

fn moment(text: &str) -> u64 {
    text.parse::<Timestamp>().unwrap().as_second().try_into().unwrap()
}

fn told(span: Option<Span>) -> String {
    let time = |at: u64| Timestamp::from_second(at.try_into().unwrap()).unwrap().to_string();
    span.map_or_else(|| "-".into(), |span| format!("{} {}", time(span.start), time(span.end)))
}

#[test]
fn what_is_no_window_is_refused() {
    #[rustfmt::skip]
    let cases = [
        ("Mon..Fri 02:00-04:00",   true),
        ("mon,wed..fri 2:00-4:00", false), // two digits
        ("mon,wed..fri 02:00-04:00", true),
        ("22:00-02:00",            true),
        ("Sat,Sun 00:00-24:00",    true),
        ("Fri..Mon 00:00-01:00",   true),
        ("24:00-01:00",            false),
        ("02:00-02:00",            false), // nothing, or all day?
        ("02:00-24:01",            false),
        ("02:60-03:00",            false),
        ("+2:00-03:00",            false),
        ("Mon Tue 02:00-03:00",    false),
        ("Moon 02:00-03:00",       false),
        ("Mon..  02:00-03:00",     false),
        ("02:00",                  false),
        ("",                       false),
    ];
    for (text, good) in cases {
        assert_eq!(Window::try_from(text.to_owned()).is_ok(), good, "{text}");
    }
}

#[test]
fn a_window_opens_on_its_days_in_its_zone() {
    // 2026-11-27 is a Friday.
    #[rustfmt::skip]
    let cases: [(&str, &str, &str, &str, &str); 12] = [
        // windows, zone, now, the open one, the next one
        ("Mon..Fri 02:00-04:00", "UTC", "2026-11-27T02:00:00Z", "2026-11-27T02:00:00Z 2026-11-27T04:00:00Z", "2026-11-30T02:00:00Z 2026-11-30T04:00:00Z"),
        ("Mon..Fri 02:00-04:00", "UTC", "2026-11-27T03:59:59Z", "2026-11-27T02:00:00Z 2026-11-27T04:00:00Z", "2026-11-30T02:00:00Z 2026-11-30T04:00:00Z"),
        ("Mon..Fri 02:00-04:00", "UTC", "2026-11-27T04:00:00Z", "-", "2026-11-30T02:00:00Z 2026-11-30T04:00:00Z"),
        ("Mon..Fri 02:00-04:00", "UTC", "2026-11-27T01:59:59Z", "-", "2026-11-27T02:00:00Z 2026-11-27T04:00:00Z"),
        ("Fri 02:00-04:00", "+05:30", "2026-11-26T21:00:00Z", "2026-11-26T20:30:00Z 2026-11-26T22:30:00Z", "2026-12-03T20:30:00Z 2026-12-03T22:30:00Z"),
        // over midnight: it is Friday's, also on Saturday
        ("Fri 22:00-02:00", "UTC", "2026-11-28T01:00:00Z", "2026-11-27T22:00:00Z 2026-11-28T02:00:00Z", "2026-12-04T22:00:00Z 2026-12-05T02:00:00Z"),
        ("Fri 22:00-02:00", "UTC", "2026-11-27T01:00:00Z", "-", "2026-11-27T22:00:00Z 2026-11-28T02:00:00Z"),
        // touching ones are one
        ("Sat,Sun 00:00-24:00", "UTC", "2026-11-29T12:00:00Z", "2026-11-28T00:00:00Z 2026-11-30T00:00:00Z", "2026-12-05T00:00:00Z 2026-12-07T00:00:00Z"),
        // Berlin: the clocks go forward on 2026-03-29 at 01:00 UTC, back on 2026-10-25 at 01:00 UTC
        ("Sun 02:00-04:00", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-29T01:00:00Z 2026-03-29T02:00:00Z", "2026-04-05T00:00:00Z 2026-04-05T02:00:00Z"),
        ("Sun 02:15-03:15", "Europe/Berlin", "2026-03-29T00:00:00Z", "-", "2026-04-05T00:15:00Z 2026-04-05T01:15:00Z"),
        ("Sun 02:00-04:00", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T00:00:00Z 2026-10-25T03:00:00Z", "2026-11-01T01:00:00Z 2026-11-01T03:00:00Z"),
        ("Sun 02:10-02:40", "Europe/Berlin", "2026-10-25T01:20:00Z", "-", "2026-11-01T01:10:00Z 2026-11-01T01:40:00Z"),
    ];
    for (text, name, now, is_open, then) in cases {
        let (windows, zone, at) = (windows(&[text]), zone(name), moment(now));
        assert_eq!(told(open(&windows, &zone, at)), is_open, "{text} {name} {now}");
        assert_eq!(told(next(&windows, &zone, at)), then, "{text} {name} {now}");
    }
}

#[test]
fn without_windows_none_is_open_and_none_comes() {
    assert_eq!((open(&[], &TimeZone::UTC, 0), next(&[], &TimeZone::UTC, 0)), (None, None));
}

fn any_window() -> impl Strategy<Value = Window> {
    let day = prop::sample::select(NAMES.to_vec());
    ((day.clone(), day), 0..DAY, 0..=DAY).prop_filter_map("empty", |(days, from, to)| {
        let time = |at: u16| format!("{:02}:{:02}", at / HOUR, at % HOUR);
        let text = format!("{}..{} {}-{}", days.0, days.1, time(from), time(to));
        Window::try_from(text).ok()
    })
}

/// Whether the wall clock says that a window is open: right where no clock changes.
fn is_open_by_the_clock(window: &Window, now: u64) -> bool {
    let now = Timestamp::from_second(now.try_into().unwrap()).unwrap();
    let now = TimeZone::UTC.to_datetime(now);
    let minute =
        u16::from(now.hour().unsigned_abs()) * HOUR + u16::from(now.minute().unsigned_abs());
    let today = usize::from(weekday(now.date().weekday()));
    let on = |day: usize, minute: u16| {
        window.days[day % 7] && window.from <= minute && minute < window.to
    };
    on(today, minute) || on(today + 6, minute + DAY)
}

proptest! {
    #[test]
    fn open_is_what_the_wall_clock_says(all in prop::collection::vec(any_window(), 1..4), now in 1_700_000_000_u64..1_900_000_000) {
        let found = open(&all, &TimeZone::UTC, now);
        let expected = all.iter().any(|window| is_open_by_the_clock(window, now));
        prop_assert_eq!(found.is_some(), expected);
    }

    #[test]
    fn the_next_one_opens_then_and_none_before(all in prop::collection::vec(any_window(), 1..4), name in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]), now in 1_700_000_000_u64..1_900_000_000) {
        let zone = zone(name);
        let Some(span) = next(&all, &zone, now) else {
            // Open all week: nothing opens any more.
            prop_assert!(open(&all, &zone, now).is_some());
            return Ok(());
        };
        prop_assert!(now < span.start && span.start < span.end);
        let then = open(&all, &zone, span.start).unwrap();
        prop_assert_eq!(then.start, span.start);
        let closed_from = open(&all, &zone, now).map_or(now, |it| it.end);
        let step = ((span.start - closed_from) / 50).max(1);
        for at in (closed_from..span.start).step_by(usize::try_from(step).unwrap()) {
            prop_assert_eq!(open(&all, &zone, at), None);
        }
    }
}
