//! What the configuration and the mapping can be the matter with. Numbers 51xx, 52xx and 20xx.

use shadow::Unmappable;

use super::{MendAct, Mender, Problem};
use crate::config;

impl From<&config::Error> for Problem {
    fn from(error: &config::Error) -> Self {
        let text = error.to_string();
        let problem = match error {
            config::Error::File { source, .. } => {
                Self::new("SS-5102", "The configuration file could not be used", text)
                    .details(source.to_string())
            }
            config::Error::Malformed { .. } => Self::new("SS-5103", "The configuration cannot be read", text)
                .step("Correct the line, then try again. The README lists every key."),
            config::Error::Variable { .. } => Self::new("SS-5104", "A variable cannot be used", text)
                .step("Correct or unset the variable, then try again."),
            config::Error::NoFolder => Self::new("SS-5105", "There is no place for the configuration", text),
            config::Error::NoEnvironment { .. } => Self::new("SS-5204", "No environment is configured", text)
                .step(
                    "For a demo: shadow-sync demo-org, and in another terminal \
                       shadow-sync env add demo --kind demo --login-url http://localhost:8790",
                ),
            config::Error::SeveralEnvironments { .. } => {
                Self::new("SS-5205", "Several environments are configured", text)
                    .step("Name one with --env NAME.")
            }
            config::Error::UnknownEnvironment { .. } => {
                Self::new("SS-5206", "There is no such environment", text)
            }
            config::Error::BadName { .. } => Self::new("SS-5209", "This cannot be a name", text)
                .step("Choose a short name such as staging or shop-eu."),
            config::Error::NameTaken { .. } => Self::new("SS-5207", "The name is taken", text),
        };
        problem.act(MendAct::OpenSettings)
    }
}

impl From<&Unmappable> for Problem {
    fn from(error: &Unmappable) -> Self {
        let mut problem = Self::new(
            "SS-2011",
            format!("{} cannot be loaded as it is mapped", error.object),
            "The org lacks something without which no row can be stored, or the sync user may not see it.",
        )
        .mended_by(Mender::SalesforceAdmin)
        .act(MendAct::CheckAgain);
        for finding in &error.findings {
            problem = problem.step(format!("{}: {}", finding.field, finding.message));
        }
        problem
    }
}

impl From<config::Error> for Problem {
    fn from(error: config::Error) -> Self {
        Self::from(&error)
    }
}

impl From<config::Error> for Box<Problem> {
    fn from(error: config::Error) -> Self {
        Box::new(Problem::from(&error))
    }
}

impl From<Unmappable> for Box<Problem> {
    fn from(error: Unmappable) -> Self {
        Box::new(Problem::from(&error))
    }
}
