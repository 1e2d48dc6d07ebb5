//! Owns every long-lived task: none is detached, one that fails or panics begins again after a while, and ending is
//! soft first, then hard.
//!
//! Soft: the token is cancelled, and a task comes to its end by itself, having given back what it holds. Hard: what has
//! not ended in time is dropped where it stands. Both are safe, because every durable step is one commit.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use rand::Rng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::problem::Answer;

/// The pause before a task that failed begins again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A task that ran so long before it failed begins again as if it had never failed.
const STEADY: Duration = Duration::from_mins(1);

/// Long-lived tasks that end together.
#[derive(Debug)]
pub(crate) struct Supervisor {
    tasks: Mutex<JoinSet<()>>,
    soft: CancellationToken,
}

impl Supervisor {
    /// A supervisor whose tasks begin to end when `soft` is cancelled.
    pub(crate) fn new(soft: CancellationToken) -> Self {
        Self { tasks: Mutex::new(JoinSet::new()), soft }
    }

    /// Runs a task until it ends well or the supervisor stops. `make` begins it anew each time.
    ///
    /// - `make`: gets the token that tells it to end; it must pass by every await.
    pub(crate) fn run<F>(&self, name: &'static str, make: impl Fn(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = Answer<()>> + Send + 'static,
    {
        let soft = self.soft.clone();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let began = Instant::now();
                let outcome = AssertUnwindSafe(make(soft.clone())).catch_unwind().await;
                if soft.is_cancelled() {
                    return;
                }
                match outcome {
                    Ok(Ok(())) => return,
                    Ok(Err(problem)) => {
                        tracing::warn!(
                            task.name = name,
                            problem.code = problem.code,
                            "a task failed: {}",
                            problem.title
                        );
                    }
                    Err(panic) => {
                        let said = panicked(&panic);
                        tracing::error!(task.name = name, "a task ended unexpectedly: {said}");
                    }
                }
                if began.elapsed() > STEADY {
                    pause = FIRST_PAUSE;
                }
                tokio::select! {
                    () = soft.cancelled() => return,
                    () = tokio::time::sleep(jittered(pause)) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// Ends every task: softly, and after `patience` hard.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.soft.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("tasks did not end in time and are dropped");
            tasks.shutdown().await;
        }
    }
}

/// Between half of a pause and the whole, so that processes do not act in step.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// What a panic said.
fn panicked(panic: &Box<dyn std::any::Any + Send>) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|said| (*said).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason was given".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::problem::Problem;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_or_panics_begins_again() {
        let supervisor = Supervisor::new(CancellationToken::new());
        let runs = Arc::new(AtomicU32::new(0));
        let done = CancellationToken::new();
        let (counted, finished) = (runs.clone(), done.clone());
        supervisor.run("test", move |_| {
            let (run, finished) = (counted.fetch_add(1, Ordering::SeqCst), finished.clone());
            async move {
                match run {
                    0 => Err(Box::new(Problem::new("SS-9001", "It failed", "For the test."))),
                    1 => panic!("it panics"),
                    _ => {
                        finished.cancel();
                        Ok(())
                    }
                }
            }
        });
        done.cancelled().await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        supervisor.stop(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_dropped() {
        let supervisor = Supervisor::new(CancellationToken::new());
        supervisor.run("stubborn", |_| std::future::pending());
        let began = tokio::time::Instant::now();
        supervisor.stop(Duration::from_secs(2)).await;
        assert_eq!(began.elapsed().as_secs(), 2);
    }
}
