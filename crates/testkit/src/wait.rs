//! Waiting until something is so, for a bounded time. The only place that sleeps.

use std::time::{Duration, Instant};

/// The time ran out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("waited {} s in vain for {what}", timeout.as_secs())]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub timeout: Duration,
}

/// Asks `probe` again and again until it yields a value, and returns that value.
///
/// The pause between two questions grows from 20 ms to a quarter of a second: short waits end
/// soon, long ones cost no processor time that an emulated machine needs.
///
/// # Errors
///
/// What `probe` fails with, at once; [`TimedOut`] naming `what` when `timeout` has passed.
pub fn until<T, E: From<TimedOut>>(
    what: &str,
    timeout: Duration,
    mut probe: impl FnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if start.elapsed() >= timeout {
            return Err(TimedOut { what: what.to_owned(), timeout }.into());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_first_value() {
        let mut asked = 0;
        let value = until("three", Duration::from_secs(5), || {
            asked += 1;
            Ok::<_, TimedOut>((asked == 3).then_some(asked))
        });
        assert_eq!(value, Ok(3));
    }

    #[test]
    fn waiting_in_vain_names_what_it_waited_for() {
        let timeout = Duration::from_millis(1);
        let result = until("the moon", timeout, || Ok::<Option<()>, TimedOut>(None));
        assert_eq!(result, Err(TimedOut { what: "the moon".into(), timeout }));
    }
}
