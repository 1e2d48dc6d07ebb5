//! `shadow-sync doctor`: the preflight, check by check.

use engine::api::preflight::{self, CheckColour, CheckView, PreflightView};
use engine::api::sign_in;

use crate::context::{Context, Exit};
use crate::words::{count, duration};

/// Check sign-in, permissions, fields, limits and database, and say how to mend what is wrong
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `doctor`; exit 1 where a check is red.
pub async fn run(_args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open_unmigrated().await?;
    sign_in::resumed(&engine).await;
    let preflight = preflight::run(&engine).await?;
    context.print(&preflight, || text(&preflight, context.is_terminal))?;
    Ok(if preflight.red > 0 { Exit::Finding } else { Exit::Done })
}

fn text(preflight: &PreflightView, colours: bool) -> String {
    let mut lines = Vec::new();
    let mut group = "";
    for check in &preflight.checks {
        if check.group != group {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            group = &check.group;
            lines.push(check.group.clone());
        }
        lines.extend(check_lines(check, colours));
    }
    lines.push(String::new());
    lines.push(format!(
        "{} green, {} yellow, {} red, {} grey; {} of the org's daily limit.",
        preflight.green,
        preflight.yellow,
        preflight.red,
        preflight.grey,
        count(preflight.api_calls, "call", "calls")
    ));
    lines.join("\n")
}

fn check_lines(check: &CheckView, colours: bool) -> Vec<String> {
    let cost = match check.api_calls {
        0 => duration(check.took_ms.into()),
        calls => format!("{}, {}", duration(check.took_ms.into()), count(calls, "call", "calls")),
    };
    let mut lines = vec![
        format!("  {} {} ({cost})", mark(check.colour, colours), check.title),
        format!("           {}", check.finding),
    ];
    if check.colour != CheckColour::Green {
        let code = check.code.as_ref().map(|code| format!("           {code}"));
        lines.extend(code);
        lines.extend(check.cure.iter().map(|step| format!("           - {step}")));
        lines.extend(check.paste.iter().map(|paste| format!("             {paste}")));
    }
    lines
}

/// The colour as a word, so that it can be read without colours, too.
fn mark(colour: CheckColour, colours: bool) -> String {
    let (word, code) = match colour {
        CheckColour::Green => ("green ", 32),
        CheckColour::Yellow => ("yellow", 33),
        CheckColour::Red => ("red   ", 31),
        CheckColour::Grey => ("grey  ", 90),
    };
    if colours { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
}
