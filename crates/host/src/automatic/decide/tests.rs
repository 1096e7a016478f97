use super::*;
use crate::automatic::wave::Wave;
use crate::automatic::windows::Window;
use crate::holds::Source;
use proptest::prelude::*;

const HOUR: u64 = 3600;
/// 2026-11-27 00:00 UTC, a Friday.
const FRIDAY: u64 = 1_795_737_600;

fn config(mode: Mode) -> Config {
    Config { mode, ..Config::default() }
}

fn window(text: &str) -> Vec<Window> {
    vec![text.to_owned().try_into().unwrap()]
}

fn wave(steps: &[&str]) -> Wave {
    steps.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>().try_into().unwrap()
}

fn facts(waiting: Waiting) -> Facts {
    Facts {
        machine: "one".into(),
        publication: "p1".into(),
        offered: Offered { seen: FRIDAY, waiting: FRIDAY },
        available: true,
        refused: false,
        waiting,
        holds: Vec::new(),
    }
}

fn ours() -> Waiting {
    Waiting::Ours { generation: 5, since: FRIDAY, newest: true, other_kernel: false }
}

fn hold(until: Option<u64>) -> Hold {
    Hold { name: "backup".into(), reason: "it runs".into(), until, source: Source::Kept }
}

/// The kind of a step, and why.
fn told(step: &Step) -> String {
    match step {
        Step::Nothing { why } => format!("nothing: {why}"),
        Step::Notify => "notify".into(),
        Step::Stage => "stage".into(),
        Step::Withdraw { generation } => format!("withdraw {generation}"),
        Step::Restart { reboot, generation } => format!("restart {generation} {reboot:?}"),
        Step::Wait { until: None, why } => format!("wait: {why}"),
        Step::Wait { until: Some(until), why } => {
            format!("wait {}: {why}", until.wrapping_sub(FRIDAY) / 60)
        }
    }
}

#[test]
fn each_mode_goes_as_far_as_it_says() {
    let old = Waiting::Ours { generation: 5, since: FRIDAY, newest: false, other_kernel: false };
    let foreign = Waiting::Foreign { generation: 7 };
    #[rustfmt::skip]
    let cases = [
        (Mode::Off,    Waiting::Nothing, true,  "nothing: automatic updates are off"),
        (Mode::Off,    ours(),           true,  "nothing: automatic updates are off"),
        (Mode::Notify, Waiting::Nothing, true,  "notify"),
        (Mode::Notify, Waiting::Nothing, false, "nothing: everything is as new as it can be"),
        (Mode::Notify, old,              true,  "nothing: a new generation waits for a restart"),
        (Mode::Notify, old,              false, "nothing: a new generation waits for a restart"),
        (Mode::Stage,  Waiting::Nothing, true,  "stage"),
        (Mode::Stage,  Waiting::Nothing, false, "nothing: everything is as new as it can be"),
        (Mode::Stage,  ours(),           true,  "nothing: a new generation waits for a restart"),
        (Mode::Stage,  old,              true,  "stage"),
        (Mode::Stage,  old,              false, "withdraw 5"),
        (Mode::Stage,  foreign,          true,  "nothing: generation 7 waits for a restart: it is not from an automatic update"),
        (Mode::Apply,  Waiting::Nothing, true,  "stage"),
        (Mode::Apply,  ours(),           true,  "restart 5 Soft"),
        (Mode::Apply,  ours(),           false, "withdraw 5"),
        (Mode::Apply,  foreign,          true,  "nothing: generation 7 waits for a restart: it is not from an automatic update"),
    ];
    for (mode, waiting, available, expected) in cases {
        let facts = Facts { available, ..facts(waiting) };
        assert_eq!(told(&decide(FRIDAY, &config(mode), &facts)), expected, "{mode} {waiting:?}");
    }
}

#[test]
fn what_gave_way_is_not_tried_again() {
    let refused = Facts { refused: true, ..facts(Waiting::Nothing) };
    let step = decide(FRIDAY, &config(Mode::Apply), &refused);
    assert!(told(&step).starts_with("nothing: this was tried"), "{step:?}");
    // What waits is older than what is offered, and that was tried: it stays with what waits.
    let old = Waiting::Ours { generation: 5, since: FRIDAY, newest: false, other_kernel: false };
    let step = decide(FRIDAY, &config(Mode::Apply), &Facts { refused: true, ..facts(old) });
    assert_eq!(told(&step), "restart 5 Soft");
}

#[test]
fn another_kernel_takes_a_whole_restart() {
    let waiting = Waiting::Ours { generation: 5, since: FRIDAY, newest: true, other_kernel: true };
    let step = decide(FRIDAY, &config(Mode::Apply), &facts(waiting));
    assert_eq!(told(&step), "restart 5 Full");
}

#[test]
fn a_window_holds_back_restarts_and_not_staging() {
    let config = Config { windows: window("Fri 02:00-04:00"), ..config(Mode::Apply) };
    #[rustfmt::skip]
    let cases = [
        (0,        "wait 120: no maintenance window is open"),
        (2 * HOUR, "restart 5 Soft"),
        (4 * HOUR, "wait 10200: no maintenance window is open"), // a week later
    ];
    for (since, expected) in cases {
        assert_eq!(told(&decide(FRIDAY + since, &config, &facts(ours()))), expected, "{since}");
        assert_eq!(decide(FRIDAY + since, &config, &facts(Waiting::Nothing)), Step::Stage);
    }
}

#[test]
fn hosts_restart_at_their_own_part_of_the_delay() {
    let config = Config { windows: window("Fri 02:00-04:00"), delay: HOUR, ..config(Mode::Apply) };
    let first = |machine: &str| {
        let facts = Facts { machine: machine.into(), ..facts(ours()) };
        let restarts = |now: &u64| matches!(decide(*now, &config, &facts), Step::Restart { .. });
        let first = (FRIDAY..FRIDAY + 4 * HOUR).step_by(60).find(restarts).unwrap();
        match decide(FRIDAY + 2 * HOUR, &config, &facts) {
            Step::Wait { until: Some(until), .. } => assert_eq!(until.next_multiple_of(60), first),
            step => assert_eq!(first, FRIDAY + 2 * HOUR, "{step:?}"),
        }
        first
    };
    let all: std::collections::BTreeSet<_> =
        (0..20).map(|it| first(&format!("host{it}"))).collect();
    assert!(all.len() > 10, "{all:?}");
    assert!(all.iter().all(|it| (2 * HOUR..=3 * HOUR).contains(&(it - FRIDAY))), "{all:?}");
    assert_eq!(first("host1"), first("host1"));
}

#[test]
fn without_windows_the_delay_counts_from_the_staging() {
    let config = Config { delay: HOUR, ..config(Mode::Apply) };
    let part = wave::number("one", "delay") % (HOUR + 1);
    assert!(part > 0);
    let step = decide(FRIDAY + part - 1, &config, &facts(ours()));
    assert_eq!(
        step,
        Step::Wait { until: Some(FRIDAY + part), why: "hosts restart one after another".into() }
    );
    assert_eq!(told(&decide(FRIDAY + part, &config, &facts(ours()))), "restart 5 Soft");
}

#[test]
fn what_was_staged_by_a_clock_that_was_ahead_does_not_wait_for_it() {
    for delay in [0, HOUR] {
        let config = Config { delay, ..config(Mode::Apply) };
        let step = decide(FRIDAY - 30 * 24 * HOUR, &config, &facts(ours()));
        assert_eq!(told(&step), "restart 5 Soft", "{delay}");
    }
}

#[test]
fn a_turn_comes_early_where_the_timers_next_one_would_find_the_window_closed() {
    #[rustfmt::skip]
    let cases = [
        // window, minutes after midnight at which the turn is, at which the early one is
        ("Fri 02:00-02:30", 10,  None), // the next turn is before it
        ("Fri 02:00-02:30", 80,  None), // 02:20 will do
        ("Fri 02:00-02:30", 90,  Some(120)),
        ("Fri 02:00-02:30", 115, Some(120)),
        ("Fri 02:00-03:00", 65,  None), // 02:05 will do
        ("Fri 02:00-03:00", 119, Some(120)),
        ("Fri 02:00-04:00", 119, None),
    ];
    for (text, at, expected) in cases {
        let config = Config { windows: window(text), ..config(Mode::Apply) };
        let now = FRIDAY + at * 60;
        let step = decide(now, &config, &facts(ours()));
        let found = early(now, &config, &step).map(|at| (at - FRIDAY) / 60);
        assert_eq!(found, expected, "{text} {at}");
    }
}

#[test]
fn holds_keep_a_host_from_restarting_and_not_from_staging() {
    let config = config(Mode::Apply);
    #[rustfmt::skip]
    let cases: [(&[Option<u64>], &str); 4] = [
        (&[],                                   "restart 5 Soft"),
        (&[Some(FRIDAY + 60)],                  "wait 1: held by backup (it runs)"),
        (&[Some(FRIDAY + 60), Some(FRIDAY + 120)], "wait 2: held by backup (it runs); backup (it runs)"),
        (&[Some(FRIDAY + 60), None],            "wait: held by backup (it runs); backup (it runs)"),
    ];
    for (holds, expected) in cases {
        let holds: Vec<_> = holds.iter().map(|until| hold(*until)).collect();
        let held = Facts { holds: holds.clone(), ..facts(ours()) };
        assert_eq!(told(&decide(FRIDAY, &config, &held)), expected);
        let held = Facts { holds, ..facts(Waiting::Nothing) };
        assert_eq!(decide(FRIDAY, &config, &held), Step::Stage);
    }
}

#[test]
fn a_wave_holds_back_what_comes_and_not_what_waits() {
    let config = Config { wave: wave(&["24h:100"]), ..config(Mode::Apply) };
    let step = |waiting| told(&decide(FRIDAY + HOUR, &config, &facts(waiting)));
    assert_eq!(step(Waiting::Nothing), "wait 1440: other hosts come first");
    assert_eq!(step(ours()), "restart 5 Soft");
    let old = Waiting::Ours { generation: 5, since: FRIDAY, newest: false, other_kernel: false };
    assert_eq!(step(old), "restart 5 Soft");
    assert_eq!(decide(FRIDAY + 24 * HOUR, &config, &facts(old)), Step::Stage);
}

#[test]
fn of_a_fleet_as_many_take_an_update_as_the_wave_allows() {
    let config = Config { wave: wave(&["0h:5", "6h:25", "24h:100"]), ..config(Mode::Stage) };
    let taken = |now: u64| {
        let staged = |host: &u32| {
            let facts = Facts { machine: host.to_string(), ..facts(Waiting::Nothing) };
            decide(now, &config, &facts) == Step::Stage
        };
        (0..2000).filter(staged).count()
    };
    assert!((60..140).contains(&taken(FRIDAY)), "{}", taken(FRIDAY));
    let later = taken(FRIDAY + 6 * HOUR);
    assert!((430..570).contains(&later), "{later}");
    assert_eq!(taken(FRIDAY + 24 * HOUR), 2000);
}

proptest! {
    #[test]
    fn in_each_window_a_host_has_a_turn_that_restarts_it(
        minute in 0..60_u64, length in 1..180_u64, delay in 0..180 * 60_u64, machine in 0..1000_u32,
    ) {
        prop_assume!(delay < length * 60);
        let text = format!("Sat 02:00-{:02}:{:02}", 2 + length / 60, length % 60);
        let config = Config { windows: window(&text), delay, ..config(Mode::Apply) };
        let facts = Facts { machine: machine.to_string(), ..facts(ours()) };
        let mut restarted = false;
        for turn in (0..48).map(|hour| FRIDAY + hour * HOUR + minute * 60) {
            let step = decide(turn, &config, &facts);
            let again = early(turn, &config, &step).map(|at| decide(at, &config, &facts));
            restarted |= [Some(step), again].iter().flatten().any(|it| matches!(it, Step::Restart { .. }));
        }
        prop_assert!(restarted, "{text} {delay}");
    }

    #[test]
    fn a_restart_needs_a_window_no_hold_and_the_mode(
        mode in prop::sample::select(vec![Mode::Off, Mode::Notify, Mode::Stage, Mode::Apply]),
        held in any::<bool>(), newest in any::<bool>(), available in any::<bool>(), refused in any::<bool>(),
        delay in 0..HOUR, after in 0..14 * 24 * HOUR,
    ) {
        let config = Config { windows: window("Fri..Sat 22:00-02:00"), delay, ..config(mode) };
        let holds = if held { vec![hold(None)] } else { Vec::new() };
        let waiting = Waiting::Ours { generation: 5, since: FRIDAY, newest, other_kernel: false };
        let facts = Facts { holds, available, refused, ..facts(waiting) };
        let now = FRIDAY + after;
        let step = decide(now, &config, &facts);
        let open = windows::open(&config.windows, &config.zone, now);
        if matches!(step, Step::Restart { .. }) {
            prop_assert!(mode == Mode::Apply && !held && available && open.is_some());
        }
        if let Step::Wait { until: Some(until), .. } = step {
            prop_assert!(until > now, "it waits for what is past");
            let then = decide(until, &config, &facts);
            prop_assert!(!matches!(then, Step::Wait { until: Some(_), .. }), "{then:?}");
        }
    }
}
