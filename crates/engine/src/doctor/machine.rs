//! Checks of this machine: configuration, keychain, the way to the login address, the clock.

use chrono::TimeDelta;

use super::sheet::{CONFIGURATION, Outcome, SIGN_IN, Sheet};
use crate::{
    api::{environments::SignInFlow, preflight::CheckColour},
    clock,
    config::Environment,
    problem::Problem,
    secrets::KeychainState,
    sign_in::SignIn,
};

/// From here on a clock is worth a look.
const CLOCK_NOTABLE: TimeDelta = TimeDelta::seconds(30);
/// An assertion is valid for three minutes; a clock further off makes every JWT sign-in fail.
const CLOCK_FATAL: TimeDelta = TimeDelta::seconds(150);

/// What reading the configuration found.
pub(super) fn configuration(sheet: &mut Sheet<'_>, environment: &Environment) {
    if environment.findings.is_empty() {
        sheet.note(
            "configuration",
            CONFIGURATION,
            "The configuration is complete and holds no secret",
            Outcome::green(format!("Environment {}, read without a finding.", environment.name)),
        );
    }
    for finding in &environment.findings {
        sheet.note(
            format!("configuration.{}", finding.key),
            CONFIGURATION,
            format!("`{}` is as it should be", finding.key),
            Outcome::yellow(finding.finding.clone()).cure(finding.cure.clone()),
        );
    }
}

/// Whether the sign-in outlives this run.
pub(super) fn keychain(sheet: &mut Sheet<'_>, sign_in: &SignIn) {
    let title = "The keychain keeps the sign-in";
    let outcome = match sign_in.keychain() {
        _ if sign_in.flow() != SignInFlow::Browser => {
            Outcome::green("Not needed: this environment signs in anew with every start.")
        }
        KeychainState::Ready => Outcome::green("It answers."),
        KeychainState::Unused => Outcome::green("Not used: a demo keeps its sign-in in memory only."),
        KeychainState::Waiting => {
            Outcome::yellow("It was asked and has not answered: its own window is probably open.")
                .cure("Look for the keychain's window and answer it.")
        }
        KeychainState::Locked => Outcome::yellow("It is locked, so the sign-in lasts for this run only.")
            .cure("Unlock the keychain of this user, then sign in again."),
        KeychainState::Absent { reason } => {
            Outcome::yellow(format!("None runs here, so the sign-in lasts for this run only ({reason})."))
                .cure("Start a keychain (Secret Service) for this user, then start this program again.")
                .cure("A program that runs without a person signs in by jwt or client-credentials instead.")
        }
    };
    sheet.note("keychain", CONFIGURATION, title, outcome);
}

/// Whether the login address answers, and how far this machine's clock is off.
pub(super) async fn login_address(sheet: &mut Sheet<'_>, sign_in: &SignIn) {
    let title = "The login address answers like Salesforce";
    let probe = match sign_in.login_host() {
        Ok(host) => host.probe().await.map_err(|error| Problem::from(&error)),
        Err(problem) => Err(*problem),
    };
    match probe {
        Ok(at) => {
            sheet.note(
                "login-address",
                SIGN_IN,
                title,
                Outcome::green(format!("{} answers.", sign_in.login_url().as_str().trim_end_matches('/'))),
            );
            sheet.note(
                "clock",
                SIGN_IN,
                "This machine's clock agrees with Salesforce's",
                clock_outcome(at - clock::now()),
            );
        }
        Err(problem) => sheet.note("login-address", SIGN_IN, title, Outcome::problem(&problem)),
    }
}

fn clock_outcome(ahead: TimeDelta) -> Outcome {
    // The header counts whole seconds.
    let off = ahead.abs();
    let finding = format!("They differ by {} s.", off.num_seconds());
    if off >= CLOCK_NOTABLE {
        let colour = if off >= CLOCK_FATAL { CheckColour::Red } else { CheckColour::Yellow };
        return Outcome::yellow(finding)
            .cure("Let the system set its clock from the network (NTP). Signing in by jwt fails with a wrong clock.")
            .coloured(colour);
    }
    Outcome::green(finding)
}
