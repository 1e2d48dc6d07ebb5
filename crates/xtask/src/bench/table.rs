//! The table that a measurement prints: facts, and values beside their bars.

/// The most memory that a process of ours may take, from the design.
const MEMORY_BAR: u64 = 256 * 1024 * 1024;

/// Lines of the result, and whether every bar was met.
#[derive(Default)]
pub struct Table {
    lines: Vec<String>,
    missed: usize,
}

impl Table {
    /// A line of its own.
    pub fn heading(&mut self, text: &str) {
        self.lines.push(text.to_owned());
    }

    /// A value without a bar.
    pub fn fact(&mut self, what: &str, value: &str) {
        self.lines.push(format!("  {what:<40} {value:>12}"));
    }

    /// A value beside its bar.
    pub fn check(&mut self, what: &str, value: &str, is_met: bool, bar: &str) {
        self.missed += usize::from(!is_met);
        let verdict = if is_met { "met" } else { "MISSED" };
        self.lines.push(format!("  {what:<40} {value:>12}   bar {bar}: {verdict}"));
    }

    /// A value whose ratio has a bar.
    pub fn bar(&mut self, what: &str, value: &str, ratio: f64, bar: f64, is_met: impl Fn(f64, f64) -> bool) {
        self.check(what, &format!("{value}, {ratio:.2} x"), is_met(ratio, bar), &format!("{bar} x"));
    }

    /// The most memory that a process held, beside its bar.
    pub fn memory(&mut self, what: &str, bytes: u64) {
        self.check(what, &format!("{} MB", bytes / 1024 / 1024), bytes <= MEMORY_BAR, "256 MB");
    }

    /// Prints every line.
    pub fn print(&self) {
        for line in &self.lines {
            println!("{line}");
        }
    }

    /// Whether every bar was met.
    pub fn is_good(&self) -> bool {
        self.missed == 0
    }
}
