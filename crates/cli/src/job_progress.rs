//! Jobs shown until each has ended: bars on a terminal, lines elsewhere; Ctrl-C pauses them.

use std::collections::HashMap;
use std::time::Duration;

use engine::api::backfills::{self, JobStage, JobState, JobView, PageState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::MissedTickBehavior;

use crate::context::Context;
use crate::words::{duration, thousands};

/// Shows the jobs until each has ended; Ctrl-C pauses those that run, so that they can be resumed.
///
/// - `resumes`: the command that takes up a paused job.
pub async fn watch(
    engine: &engine::Engine,
    ids: &[String],
    resumes: &str,
    context: &Context,
) -> anyhow::Result<Vec<JobView>> {
    let mut painter = Painter::new(context);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = false;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            signal = tokio::signal::ctrl_c(), if !stopping => {
                signal?;
                stopping = true;
                painter.say(&format!("Stopping after the rows in flight; `{resumes}` resumes."));
                for id in ids {
                    // A job that ended meanwhile has nothing left to pause.
                    let _ = backfills::pause(engine, id).await;
                }
            }
        }
        let mut jobs = backfills::jobs(engine).await?;
        jobs.retain(|job| ids.contains(&job.id));
        jobs.sort_by_key(|job| ids.iter().position(|id| *id == job.id));
        painter.paint(&jobs);
        if jobs.iter().all(|job| is_over(job.state)) {
            painter.clear();
            return Ok(jobs);
        }
    }
}

fn is_over(state: JobState) -> bool {
    match state {
        JobState::Paused
        | JobState::Cancelled
        | JobState::Done
        | JobState::Failed
        | JobState::Interrupted => true,
        JobState::Pending | JobState::Running | JobState::Pausing | JobState::Cancelling => false,
    }
}

/// Shows progress: bars on a terminal, a line per change of stage elsewhere, nothing with `--json`.
struct Painter {
    bars: Option<(MultiProgress, HashMap<String, ProgressBar>)>,
    stages: HashMap<String, (JobStage, u32)>,
    is_silent: bool,
}

impl Painter {
    fn new(context: &Context) -> Self {
        let bars =
            (context.is_terminal && !context.args.json).then(|| (MultiProgress::new(), HashMap::new()));
        Self { bars, stages: HashMap::new(), is_silent: context.args.json }
    }

    #[expect(clippy::print_stderr, reason = "progress goes beside the result")]
    fn say(&self, text: &str) {
        match &self.bars {
            Some((bars, _)) => {
                // A terminal that is gone cannot be told anything; the work goes on.
                let _ = bars.println(text);
            }
            None => eprintln!("{text}"),
        }
    }

    fn paint(&mut self, jobs: &[JobView]) {
        if self.is_silent {
            return;
        }
        for job in jobs {
            let line = progress_line(job);
            if let Some((all, bars)) = &mut self.bars {
                let bar = bars.entry(job.id.clone()).or_insert_with(|| {
                    let style = ProgressStyle::with_template("{prefix:16} {bar:28} {msg}")
                        .unwrap_or_else(|_| ProgressStyle::default_bar());
                    all.add(ProgressBar::new(1)).with_style(style).with_prefix(job.object.clone())
                });
                bar.set_length(u64::from(job.total.unwrap_or(0).max(1)));
                bar.set_position(u64::from(job.done));
                bar.set_message(line);
            } else {
                let merged = job.pages.iter().filter(|page| page.state == PageState::Merged).count();
                let at = (job.stage, u32::try_from(merged).unwrap_or(u32::MAX));
                if self.stages.insert(job.id.clone(), at) != Some(at) {
                    self.say(&format!("{}: {line}", job.object));
                }
            }
        }
    }

    fn clear(&self) {
        if let Some((bars, _)) = &self.bars {
            let _ = bars.clear();
        }
    }
}

/// Done of total, rate, time left, pages: one line.
fn progress_line(job: &JobView) -> String {
    let stage = match job.stage {
        JobStage::Describing => "reading its fields",
        JobStage::Preparing => "Salesforce prepares the results",
        JobStage::ComparingStamps => "comparing stamps",
        JobStage::Loading => "loading",
        JobStage::ReadingWindow => "reading what changed",
        JobStage::Fetching => "fetching records that raced",
        JobStage::ComparingIds => "comparing ids",
        JobStage::Counting => "counting both sides",
        JobStage::Ended => word_of(job.state),
    };
    let mut line = match job.total {
        // What changed while it was read comes on top of what was counted before.
        Some(total) if total >= job.done => format!("{} of {}", thousands(job.done), thousands(total)),
        Some(_) | None => thousands(job.done),
    };
    if let Some(rate) = job.rate {
        line.push_str(&format!(", {} records/s", thousands(rate)));
    }
    match job.left_ms {
        Some(left) if job.state == JobState::Running => {
            line.push_str(&format!(", {} left", duration(u64::from(left))));
        }
        None if job.stage == JobStage::Loading => line.push_str(", estimating"),
        _ => {}
    }
    let merged = job.pages.iter().filter(|page| page.state == PageState::Merged).count();
    if !job.pages.is_empty() {
        line.push_str(&format!(", {merged} of {} pages", job.pages.len()));
    }
    format!("{line}; {stage}")
}

/// How a job stands, in a word.
pub fn word_of(state: JobState) -> &'static str {
    match state {
        JobState::Pending => "pending",
        JobState::Running => "running",
        JobState::Pausing => "pausing",
        JobState::Paused => "paused",
        JobState::Cancelling => "cancelling",
        JobState::Cancelled => "cancelled",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Interrupted => "interrupted",
    }
}
