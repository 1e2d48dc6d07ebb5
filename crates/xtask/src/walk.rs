//! The walk: the real window on a virtual display, driven from the wizard to equal counts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::display::VirtualDisplay;
use crate::process::succeeds;
use crate::webdriver::{Driver, Window};
use crate::workspace::Workspace;

/// How long the whole walk may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// The objects whose counts are compared.
const OBJECTS: [&str; 3] = ["Product2", "PricebookEntry", "Account"];

/// Walks, and prints what was done. Exit code 0 when the counts agree, 3 when something failed.
pub fn walk(workspace: &Workspace, keep: bool) -> Result<ExitCode> {
    println!("There is no display: walking through the demo org in a window that nobody sees.");
    let place = Place::make()?;
    let log = File::create(place.folder.join("walk.log"))?;
    let display = VirtualDisplay::start(&log)?;
    let driver = Driver::start(&place.environment(display.name()), &log)?;
    let folder = workspace.scratch("screenshots")?;
    let mut steps = Steps { begun: Instant::now(), told: 0 };
    steps.tell(&format!("a virtual display is at {}", display.name()));

    let window = driver.open(&workspace.built("shadow-sync-desktop")).context("the console did not open")?;
    let outcome = go(&window, &mut steps);
    let picture = folder.join(if outcome.is_ok() { "walk.png" } else { "walk-failed.png" });
    let was_taken = window.screenshot(&picture);
    match &outcome {
        Ok(()) => {
            steps.tell("the counts agree: every record is in the shadow, or rejected with a reason");
            steps.tell(&format!("the picture is {}", picture.display()));
        }
        Err(error) => {
            println!("The walk failed: {error:#}");
            println!("A picture of the moment: {}; the log: {}", picture.display(), place.folder.display());
        }
    }
    was_taken?;
    if keep {
        println!(
            "The console is left running on display {}, with its data in {}",
            display.name(),
            place.folder.display()
        );
        display.keep();
        driver.keep();
        return Ok(code(outcome.is_ok()));
    }
    window.close()?;
    drop(driver);
    place.stop_database()?;
    if outcome.is_ok() {
        place.remove()?;
    }
    Ok(code(outcome.is_ok()))
}

fn code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::from(3) }
}

/// From the first page to the counts.
fn go(window: &Window<'_>, steps: &mut Steps) -> Result<()> {
    window.click(&of("look-around"), steps.left())?;
    steps.tell("the wizard offered \"Look around with a demo org\", and it was taken");
    let start = format!("{}:not([aria-disabled='true'])", of("wizard-start"));
    window.wait_for(&start, steps.left())?;
    steps.tell(&format!("the plan: {}", one_line(&window.text(&format!("{} + p", of("first-plan")))?)));
    window.click(&start, steps.left())?;
    window.click(&of("nav-overview"), steps.left())?;
    steps.tell("the backfill of every object was started");
    for object in OBJECTS {
        let row = of(&format!("ledger-{object}"));
        let loaded = format!(
            "{row}[data-health='loaded'], {row}[data-health='countsAgree'], {row}[data-health='live']"
        );
        window.wait_for(&loaded, steps.left())?;
    }
    steps.tell(&format!("all is loaded: {}", one_line(&window.text(&of("statement"))?)));
    window.click(&of("nav-verify"), steps.left())?;
    window
        .click(&format!("{}:not([aria-disabled='true']):not([aria-busy])", of("count-now")), steps.left())?;
    for object in OBJECTS {
        tell_counts(window, steps, object)?;
    }
    Ok(())
}

fn tell_counts(window: &Window<'_>, steps: &mut Steps, object: &str) -> Result<()> {
    window
        .wait_for(&format!("{}[data-verdict='unverified']", of(&format!("count-{object}"))), steps.left())?;
    let count = |side: &str| window.text(&of(&format!("{side}-{object}"))).map(|text| number(&text));
    let (salesforce, shadow, rejected) = (count("salesforce")?, count("shadow")?, count("rejected")?);
    let unexplained = salesforce - shadow - rejected;
    steps.tell(&format!(
        "{object}: Salesforce {salesforce}, shadow {shadow}, rejected {rejected}, unexplained {unexplained}"
    ));
    ensure!(unexplained == 0, "{unexplained} records of {object} are neither in the shadow nor rejected");
    Ok(())
}

/// The element with this test id.
fn of(name: &str) -> String {
    format!("[data-testid='{name}']")
}

/// The first number of a cell, whatever separates its thousands.
fn number(cell: &str) -> i64 {
    let separators = [',', '.', '\'', '\u{2019}', '\u{202f}', '\u{a0}'];
    let from_first_digit = cell.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let number =
        from_first_digit.chars().take_while(|letter| letter.is_ascii_digit() || separators.contains(letter));
    number.filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Numbers what was done and keeps the time.
struct Steps {
    begun: Instant,
    told: usize,
}

impl Steps {
    fn tell(&mut self, what: &str) {
        self.told += 1;
        println!("{:>2}. {:>5.1} s  {what}", self.told, self.begun.elapsed().as_secs_f64());
    }

    fn left(&self) -> Duration {
        PATIENCE.saturating_sub(self.begun.elapsed())
    }
}

/// Folders of the walk's own, so that it begins at the wizard and touches nobody's data.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn make() -> Result<Self> {
        // Not in the checkout: as root the database runs as a user who may not be able to go there.
        let folder = std::env::temp_dir().join(format!("shadow-sync-walk-{}", std::process::id()));
        for inner in ["config", "data", "cache"] {
            std::fs::create_dir_all(folder.join(inner))
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        Ok(Self { folder })
    }

    fn environment(&self, display: &str) -> Vec<(&'static str, String)> {
        let inner = |name: &str| self.folder.join(name).display().to_string();
        vec![
            ("DISPLAY", display.to_owned()),
            // A virtual display has no GPU, and Mesa's software renderer now and then crashes under WebKit's compositor.
            ("WEBKIT_DISABLE_COMPOSITING_MODE", "1".to_owned()),
            ("XDG_CONFIG_HOME", inner("config")),
            ("XDG_DATA_HOME", inner("data")),
            ("XDG_CACHE_HOME", inner("cache")),
            ("SHADOW_SYNC_CONFIG", inner("config/config.toml")),
            ("SHADOW_SYNC_DATA_DIR", inner("data")),
        ]
    }

    /// Ends the database if the closed window left it running.
    fn stop_database(&self) -> Result<()> {
        let cluster = self.folder.join("data/postgres/cluster");
        let Some(server) = first_line(&cluster.join("postmaster.pid")) else { return Ok(()) };
        // A fast shutdown: sessions are ended, nothing is lost.
        succeeds(Command::new("kill").args(["-INT", &server]));
        let begun = Instant::now();
        while cluster.join("postmaster.pid").exists() {
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "the walk's database (process {server}) does not end"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("{} cannot be removed", self.folder.display()))
    }
}

fn first_line(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()?.lines().next().map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_from_its_cell_without_its_time_and_separators() {
        assert_eq!(number("13,034\nat 07:12:33"), 13_034);
        assert_eq!(number("1,200 at 08:05:10"), 1200);
        assert_eq!(number("+ 3\nsee why"), 3);
        assert_eq!(number("1\u{202f}000"), 1000);
    }
}
