//! Work on several processors at once, with the results in their order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The most threads that are of use for work that keeps processors and memory busy.
const MOST: usize = 4;

/// How many threads are of use for work that keeps processors busy: each of them may hold a large file in memory.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MOST)
}

/// Does `work` on each item, on `threads` threads at most; the results are in the order of the items.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let results: Vec<_> = items.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(item), Some(slot)) = (items.get(at), results.get(at)) else { break };
            let result = work(item);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    thread::scope(|scope| {
        let helpers = threads.min(items.len()).saturating_sub(1);
        for _ in 0..helpers {
            scope.spawn(run);
        }
        run();
    });
    let done = results.into_iter().map(Mutex::into_inner);
    done.filter_map(|result| result.unwrap_or_else(PoisonError::into_inner)).collect()
}

/// Does `work` on what `items` yields, which may take its time, on `threads` threads at most; the results come in any order.
pub fn as_they_come<T: Send, R: Send>(
    items: impl Iterator<Item = T> + Send,
    threads: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let (items, results) = (Mutex::new(items), Mutex::new(Vec::new()));
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some(item) = next() {
            let result = work(item);
            results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items_whoever_was_faster() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [0, 1, 3] {
            assert_eq!(
                each(&items, threads, |item| item * 2),
                (0..2000).step_by(2).collect::<Vec<_>>()
            );
        }
        assert!(each(&[] as &[u8], 4, |item| *item).is_empty());
    }

    #[test]
    fn what_comes_late_is_done_too() {
        let (sender, receiver) = channel();
        let (told, hears) = channel();
        let done = thread::scope(|scope| {
            scope.spawn(move || {
                for item in 1..=5 {
                    sender.send(item).unwrap();
                    hears.recv().unwrap(); // the next one comes when this one was taken
                }
            });
            as_they_come(receiver.into_iter(), 3, |item| {
                told.send(()).unwrap();
                item
            })
        });
        assert_eq!(done.iter().sum::<i32>(), 15, "{done:?}");
    }
}
