//! What ships for Prometheus and Grafana, checked by promtool: the alert rules, what they do on made-up series, and
//! every expression of the dashboard.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::process::is_on_path;
use crate::stages::Stage;
use crate::workspace::Workspace;

const RULES: &str = "ops/prometheus/alerts.yml";
const RULES_TEST: &str = "ops/prometheus/alerts_test.yml";
const DASHBOARD: &str = "ops/grafana/shadow-sync.json";

/// What Grafana puts in place of its own words, so that promtool can read an expression.
const FILLED_IN: [(&str, &str); 2] = [("$__rate_interval", "5m"), ("$job", ".*")];

/// Runs promtool on all of it.
pub fn check(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    if !is_on_path("promtool") {
        return stage.note("promtool is not on this machine: nothing was checked").map(|()| true);
    }
    let expressions = expressions(&workspace.path(DASHBOARD))?;
    let as_rules = workspace.scratch("alerts")?.join("dashboard.yml");
    std::fs::write(&as_rules, rules_of(&expressions).to_string())
        .with_context(|| format!("{} cannot be written", as_rules.display()))?;
    let passed = stage
        .command(Command::new("promtool").args(["check", "rules"]).arg(workspace.path(RULES)))?
        && stage.command(Command::new("promtool").args(["test", "rules"]).arg(workspace.path(RULES_TEST)))?
        && stage.command(Command::new("promtool").args(["check", "rules"]).arg(&as_rules))?;
    if passed {
        stage
            .note(&format!("alert rules and {} expressions of the dashboard are sound", expressions.len()))?;
    }
    Ok(passed)
}

/// Every expression of a dashboard.
fn expressions(dashboard: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(dashboard)
        .with_context(|| format!("{} cannot be read", dashboard.display()))?;
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", dashboard.display()))?;
    let mut found = BTreeSet::new();
    for panel in value["panels"].as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str();
            found.insert(expression.with_context(|| format!("{} asks nothing", panel["title"]))?.to_owned());
        }
    }
    ensure!(!found.is_empty(), "{} has no panels", dashboard.display());
    Ok(found)
}

/// The expressions as recording rules: what promtool can check. JSON is YAML too.
fn rules_of(expressions: &BTreeSet<String>) -> Value {
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(number, expression)| {
            let filled_in =
                FILLED_IN.iter().fold(expression.clone(), |text, (word, value)| text.replace(word, value));
            json!({ "record": format!("dashboard:expression_{number}"), "expr": filled_in })
        })
        .collect();
    json!({ "groups": [{ "name": "dashboard", "rules": rules }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_become_rules_with_grafanas_words_filled_in() {
        let expressions = BTreeSet::from(["rate(a{job=~\"$job\"}[$__rate_interval])".to_owned()]);
        let rules = rules_of(&expressions);
        assert_eq!(rules["groups"][0]["rules"][0]["expr"], "rate(a{job=~\".*\"}[5m])");
    }
}
