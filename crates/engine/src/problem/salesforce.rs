//! What Salesforce, the network to it and the sign-in can be the matter with. Numbers 1001 to 2999.

use salesforce::{Error, QuotaKind};

use super::{MendAct, Mender, Problem, refusal::refused};

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let problem = match error {
            Error::Refused { refusal, code, description } => {
                return refused(*refusal).details(format!("{code}: {description}"));
            }
            Error::SignInNeeded => Self::new("SS-1001", "Nobody is signed in", "There is no sign-in for this org on this machine yet.")
                .step("Sign in.")
                .act(MendAct::SignIn),
            Error::Unauthorized => Self::new(
                "SS-1002",
                "Salesforce no longer accepts this sign-in",
                "A fresh access token was refused as well. The org may lock sessions to the address from which they began, or the user lost the permission API Enabled.",
            )
            .mended_by(Mender::SalesforceAdmin)
            .step("Sign in again.")
            .step("If it happens again: Setup, Session Settings, switch off \"Lock sessions to the IP address from which they originated\", and check that the user has API Enabled.")
            .act(MendAct::SignIn),
            Error::ApiScopeMissing => Self::new(
                "SS-1003",
                "This sign-in may not use the API",
                "The External Client App lacks the scope \"Manage user data via APIs (api)\", so its tokens open pages but no data.",
            )
            .mended_by(Mender::SalesforceAdmin)
            .step("Setup, External Client App Manager, the app, OAuth settings: add the scope api.")
            .step("Wait 10 to 15 minutes, then sign in again.")
            .act(MendAct::SignIn),
            Error::PortTaken { port, .. } => Self::new(
                "SS-1004",
                format!("Port {port} on this machine is taken"),
                "Salesforce sends the browser back to exactly this port, and another program listens there, perhaps another Shadow Sync that is waiting for a sign-in.",
            )
            .step(format!("Close the program that uses port {port}, then sign in again."))
            .step("Or register a second callback with another port in the app, and set redirect_url to it.")
            .act(MendAct::SignIn),
            Error::RedirectUnusable { redirect_url, reason } => Self::new(
                "SS-1005",
                "The redirect URL cannot be used",
                format!("Nothing can listen on it: {reason}."),
            )
            .step("Set redirect_url to one of the app's registered callbacks, such as this one:")
            .paste(crate::config::DEFAULT_REDIRECT)
            .act(MendAct::OpenSettings)
            .details(redirect_url.clone()),
            Error::SignInTimedOut { waited } => Self::new(
                "SS-1006",
                "No answer came from the browser",
                format!("We listened for {} minutes. The page may have been closed, or Salesforce showed an error in it, commonly redirect_uri_mismatch.", waited.as_secs().div_ceil(60)),
            )
            .step("Sign in again, and look at what the page in the browser says.")
            .step("If it says redirect_uri_mismatch: the app's callback and redirect_url must be equal in every character.")
            .act(MendAct::SignIn),
            Error::Cancelled => Self::new("SS-1007", "The sign-in was cancelled", "Somebody stopped it before the browser's answer came. Nothing has changed.")
                .step("Sign in again when you want to.")
                .act(MendAct::SignIn),
            Error::NotSalesforce { host, found } => Self::new(
                "SS-1008",
                format!("`{host}` does not answer like Salesforce"),
                format!("We asked its sign-in service and got {found}. The login address may be another site's, or a proxy answers in its place."),
            )
            .step("Check login_url: https://login.salesforce.com, https://test.salesforce.com, or the org's My Domain.")
            .act(MendAct::OpenSettings),
            Error::ForeignOrigin { origin, reason } => Self::new(
                "SS-1009",
                "The access token was not sent",
                format!("It would have gone to `{origin}`, and {reason}. Tokens go only to the org's own address."),
            )
            .step("Check login_url: it must be the org's own address.")
            .act(MendAct::OpenSettings),
            Error::SigningKey { reason } => Self::new(
                "SS-1010",
                "The private key for the JWT sign-in cannot be used",
                format!("SHADOW_SYNC_JWT_KEY_FILE names a file, but {reason}."),
            )
            .step("Give the RSA private key whose certificate was uploaded to the app, in PEM form and without a passphrase."),
            Error::MyDomainNeeded { host } => Self::new(
                "SS-1011",
                "Client credentials need the org's My Domain",
                format!("`{host}` is shared by all orgs and does not offer this way of signing in."),
            )
            .step("Set login_url to the org's My Domain, such as https://NAME.my.salesforce.com.")
            .act(MendAct::OpenSettings),
            Error::QuotaSpent { kind, operation } => return spent(*kind).details((*operation).to_owned()),
            Error::Rejected { operation, status, code, message } => {
                return rejected(code, message).details(format!("{operation}: status {status}, {code}"));
            }
            Error::Status { operation, status, .. } => return answered(*status).details((*operation).to_owned()),
            Error::Redirected { operation, to } => Self::new(
                "SS-1013",
                "Salesforce pointed elsewhere",
                format!("The answer redirects to `{to}`. Redirects are not followed, because they could carry the access token away. The org may have moved, or My Domain was renamed."),
            )
            .step("Set login_url to the org's present address and sign in again.")
            .act(MendAct::SignIn)
            .details((*operation).to_owned()),
            Error::Transport { operation, source } => return unreachable_org(source).details(transport_details(operation, source)),
            Error::Setup { source } => Self::new(
                "SS-1015",
                "Secure connections cannot be set up",
                "This machine shows no root certificates, so no https address can be trusted.",
            )
            .mended_by(Mender::PlatformEngineer)
            .step("Install the system's root certificates (Debian and Ubuntu: ca-certificates).")
            .details(chain(source)),
            Error::Unreadable { operation, reason } => Self::new(
                "SS-1016",
                "An answer of Salesforce could not be read",
                format!("While asking for {operation}: {reason}."),
            )
            .step("Try again.")
            .step("If it happens again, copy the details and report them.")
            .act(MendAct::CheckAgain),
            Error::PageCut { rows, .. } => Self::new(
                "SS-2101",
                "A result page ended early",
                format!("The connection broke after {rows} records. Nothing of the page was lost: it is downloaded again."),
            )
            .mended_by(Mender::Itself)
            .act(MendAct::ResumeJob),
            Error::PageShort { announced, rows } => Self::new(
                "SS-2102",
                "A result page is incomplete",
                format!("Salesforce announced {announced} records and sent {rows}. The page is downloaded again; it is never taken as it is."),
            )
            .mended_by(Mender::Itself)
            .act(MendAct::ResumeJob),
            Error::LocatorRepeated => Self::new(
                "SS-2103",
                "The result pages go in a circle",
                "Salesforce named a page as its own successor, so the end would never come.",
            )
            .step("Start the load again; it creates a new query job.")
            .act(MendAct::ResumeJob),
            Error::JobFailed { job, message } => Self::new(
                super::QUERY_JOB_FAILED,
                "The query job failed in Salesforce",
                if message.is_empty() { "Salesforce gave no reason.".to_owned() } else { format!("Salesforce says: {message}") },
            )
            .step("Start the load again.")
            .step("If it fails again, run the checks: a field or a permission may have changed.")
            .act(MendAct::CheckAgain)
            .details(job.clone()),
            Error::JobAborted { job } => Self::new(
                "SS-2105",
                "Somebody aborted the query job in Salesforce",
                "What was loaded so far stays. The rest needs a new query job.",
            )
            .step("Start the load again.")
            .act(MendAct::ResumeJob)
            .details(job.clone()),
            Error::JobStuck { job, waited } => Self::new(
                "SS-2106",
                "The query job made no progress",
                format!("Nothing moved for {} minutes, so it was aborted.", waited.as_secs() / 60),
            )
            .step("Start the load again, at a quieter hour if the org is busy.")
            .act(MendAct::ResumeJob)
            .details(job.clone()),
            Error::JobGone { job } => Self::new(
                super::QUERY_JOB_GONE,
                "The query job is gone from Salesforce",
                "Jobs and results are kept for seven days, and can be deleted before.",
            )
            .step("Start the load again; it creates a new query job.")
            .act(MendAct::ResumeJob)
            .details(job.clone()),
            Error::TlsSetup { source } => Self::new(
                "SS-1015",
                "Secure connections cannot be set up",
                "This machine shows no root certificates, so no https address can be trusted.",
            )
            .mended_by(Mender::PlatformEngineer)
            .step("Install the system's root certificates (Debian and Ubuntu: ca-certificates).")
            .details(source.to_string()),
            Error::StreamRefused { refusal, .. } => super::stream::refused(*refusal),
            Error::StreamLost { reason, .. } => return super::stream::lost(reason),
            Error::StreamSilent { waited } => super::stream::silent(waited.as_secs()),
            Error::TokenKeeper { source } => {
                return super::keychain::keeper(source.as_ref());
            }
        };
        if problem.details.is_empty() { problem.details(error.to_string()) } else { problem }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<Error> for Box<Problem> {
    fn from(error: Error) -> Self {
        Box::new(Problem::from(&error))
    }
}

fn spent(kind: QuotaKind) -> Problem {
    match kind {
        QuotaKind::Daily => Problem::new(
            "SS-1201",
            "The org's API calls are spent",
            "All programs together have used what the org may call within 24 hours. We stop until calls come free again.",
        )
        .mended_by(Mender::Itself)
        .step("Wait: the limit counts the last 24 hours and frees up gradually.")
        .step("Look at Setup, Company Information, API Requests, for who else calls so much."),
        QuotaKind::Concurrent => Problem::new(
            "SS-1202",
            "The org is busy with long calls",
            "Too many calls that last over 20 seconds run at the same time. We try again by ourselves.",
        )
        .mended_by(Mender::Itself),
        QuotaKind::Bulk => Problem::new(
            "SS-1203",
            "The org's query jobs are spent",
            "Number or size of query jobs within 24 hours has reached the org's limit.",
        )
        .mended_by(Mender::Itself)
        .step("Wait: the limit counts the last 24 hours.")
        .act(MendAct::ResumeJob),
    }
}

/// An answer with an error body: who mends it depends on its code.
fn rejected(code: &str, message: &str) -> Problem {
    let says = format!("Salesforce says: {message}");
    let admin = Mender::SalesforceAdmin;
    match code {
        "INVALID_FIELD" => Problem::new(
            "SS-2001",
            "A field is missing",
            format!("It was removed, renamed, or hidden from the signed-in user. {says}"),
        )
        .mended_by(admin)
        .step("Give the sync user Read on the field, in the permission set Shadow Sync.")
        .step("Run the checks again.")
        .act(MendAct::CheckAgain),
        "INVALID_TYPE" | "NOT_FOUND" | "INVALIDENTITY" => Problem::new(
            "SS-2002",
            "An object is missing",
            format!("It does not exist in this org, or the signed-in user may not read it. {says}"),
        )
        .mended_by(admin)
        .step(
            "Give the sync user Read and View All Records on the object, in the permission set Shadow Sync.",
        )
        .step("Run the checks again.")
        .act(MendAct::CheckAgain),
        "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" => Problem::new(
            "SS-2003",
            "The API is not enabled",
            format!("The org's edition, or the user's profile, comes without it. {says}"),
        )
        .mended_by(admin)
        .step("Give the user the permission API Enabled; editions without API need another licence.")
        .act(MendAct::CheckAgain),
        "INSUFFICIENT_ACCESS"
        | "INSUFFICIENT_ACCESS_OR_READONLY"
        | "FUNCTIONALITY_NOT_ENABLED"
        | "CLIENT_NOT_ACCESSIBLE_FOR_USER" => Problem::new("SS-2004", "The user may not do this", says)
            .mended_by(admin)
            .step("Assign the permission set Shadow Sync to the sync user.")
            .act(MendAct::CheckAgain),
        "TXN_SECURITY_METERING_ERROR" => {
            Problem::new("SS-2005", "A transaction security policy stopped the call", says)
                .mended_by(admin)
                .step("Exempt the sync user from the transaction security policy.")
                .act(MendAct::CheckAgain)
        }
        "QUERY_TIMEOUT" => Problem::new(
            "SS-2006",
            "The query took too long",
            "Salesforce stops a query after two minutes; the object is too large for counting at once.",
        )
        .step("Try again at a quieter hour."),
        "MALFORMED_QUERY" | "INVALID_QUERY_FILTER_OPERATOR" => {
            Problem::new("SS-2007", "Salesforce does not understand the query", says)
                .step("If you gave a condition, check its spelling; otherwise report it.")
        }
        _ => Problem::new("SS-2099", "Salesforce refused a request", says)
            .mended_by(admin)
            .step("Run the checks: they name what is missing.")
            .act(MendAct::CheckAgain),
    }
}

fn answered(status: u16) -> Problem {
    let problem = Problem::new(
        "SS-1014",
        format!("Salesforce answered with status {status}"),
        match status {
            420 => "Its gateway has no way to this org yet; new and moving orgs show this.",
            429 => "It asks us to slow down.",
            502 | 503 => "It is under maintenance or overloaded.",
            _ => "The answer held no reason that could be read; a proxy may stand between.",
        },
    );
    match status {
        420 | 429 | 500..=599 => {
            problem.mended_by(Mender::Itself).step("Wait, or look at https://status.salesforce.com.")
        }
        _ => problem
            .mended_by(Mender::PlatformEngineer)
            .step("Ask who runs the network whether a proxy stands between."),
    }
}

fn unreachable_org(source: &reqwest::Error) -> Problem {
    let text = chain(source).to_lowercase();
    let (cause, step) = if text.contains("dns") || text.contains("lookup") {
        (
            "Its name could not be resolved.",
            "Check login_url for a typing mistake, and this machine's network.",
        )
    } else if text.contains("certificate") {
        (
            "Its certificate is not trusted by this machine; a proxy that opens https may stand between.",
            "Add the proxy's root certificate to the system's root certificates.",
        )
    } else if text.contains("proxy") || text.contains("tunnel") {
        ("The proxy refused the connection.", "Check HTTPS_PROXY and NO_PROXY.")
    } else if text.contains("refused") {
        (
            "Nothing listens at its address.",
            "Check login_url. If it is the demo org's: start that with `shadow-sync demo-org`.",
        )
    } else if source.is_timeout() {
        ("No answer came in time.", "If this network needs a proxy, set HTTPS_PROXY.")
    } else {
        ("The connection could not be made, or broke.", "If this network needs a proxy, set HTTPS_PROXY.")
    };
    Problem::new("SS-1012", "Salesforce could not be reached", cause)
        .mended_by(Mender::PlatformEngineer)
        .step(step)
        .step("Try again.")
        .act(MendAct::CheckAgain)
}

fn transport_details(operation: &str, source: &reqwest::Error) -> String {
    format!("{operation}: {}", chain(source))
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_field_names_the_admin_and_the_permission_set() {
        let error = Error::Rejected {
            operation: "query",
            status: 400,
            code: "INVALID_FIELD".to_owned(),
            message: "No such column 'X__c' on entity 'Account'".to_owned(),
        };
        let problem = Problem::from(&error);
        assert_eq!(problem.code, "SS-2001");
        assert_eq!(problem.mender, Mender::SalesforceAdmin);
        assert!(problem.cause.contains("X__c"), "{}", problem.cause);
    }
}
