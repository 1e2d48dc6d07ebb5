//! Why Salesforce refused a sign-in, who mends it and how. Numbers 1101 to 1120.

use salesforce::Refusal;

use super::{MendAct, Mender, Problem};

/// A refusal of the token endpoint or of the authorize page.
pub(crate) fn refused(refusal: Refusal) -> Problem {
    let admin = Mender::SalesforceAdmin;
    match refusal {
        Refusal::GrantEnded => Problem::new(
            "SS-1101",
            "The sign-in has ended",
            "Salesforce no longer knows our refresh token: it was revoked, was idle for too long, was replaced elsewhere, or a sixth approval of the same user displaced it.",
        )
        .step("Sign in again. Loads continue where they stopped.")
        .act(MendAct::SignIn),
        Refusal::CodeExpired => Problem::new("SS-1102", "The browser's answer came too late", "The code that Salesforce gave was used already, or is older than it may be.")
            .step("Sign in again.")
            .act(MendAct::SignIn),
        Refusal::VerifierRejected => Problem::new(
            "SS-1103",
            "The proof of this sign-in was refused",
            "The answer belongs to another sign-in than the one this program began.",
        )
        .step("Sign in again, in the page that opens.")
        .act(MendAct::SignIn),
        Refusal::AuthenticationFailure => Problem::new("SS-1104", "Salesforce could not authenticate the user", "The user may be deactivated, or the login address is another org's.")
            .mended_by(admin)
            .step("Check that the user is active and that login_url is this org's: production and sandboxes differ.")
            .act(MendAct::SignIn),
        Refusal::AudienceInvalid => Problem::new("SS-1105", "The assertion was for another login host", "Production takes login.salesforce.com, sandboxes take test.salesforce.com.")
            .step("Set login_url to the address of the org that the app was created in.")
            .act(MendAct::OpenSettings),
        Refusal::UserNotApproved => Problem::new("SS-1106", "The user has not approved this app", "The JWT sign-in needs a user who was approved beforehand.")
            .mended_by(admin)
            .step("Setup, External Client App Manager, the app, Policies: \"Admin approved users are pre-authorized\", and assign the permission set to the user.")
            .act(MendAct::SignIn),
        Refusal::IpRestricted => Problem::new("SS-1107", "The org refuses this machine's address", "The user's profile or the app admits sign-ins from certain addresses only.")
            .mended_by(admin)
            .step("In the app's policies choose \"Relax IP restrictions\", or add this machine's address to the profile's login ranges.")
            .act(MendAct::SignIn),
        Refusal::LoginHours => Problem::new("SS-1108", "The user may not log in at this hour", "The user's profile has login hours.")
            .mended_by(admin)
            .step("Remove the login hours of the sync user's profile.")
            .act(MendAct::SignIn),
        Refusal::UnknownClient => Problem::new(
            "SS-1109",
            "Salesforce does not know this client id",
            "No app with this consumer key answers at this login address. A new app takes 10 to 15 minutes to be known everywhere.",
        )
        .step("Compare client_id with the app's consumer key, and login_url with its org.")
        .step("If the app is new, wait a quarter of an hour and try again.")
        .act(MendAct::SignIn),
        Refusal::ClientSecret => Problem::new("SS-1110", "The client secret was refused", "It is wrong, or the app demands a secret for this way of signing in.")
            .step("Check SHADOW_SYNC_CLIENT_SECRET.")
            .step("For browser sign-in, the app needs no secret: switch off \"Require secret for Web Server Flow\" and \"for Refresh Token Flow\".")
            .act(MendAct::SignIn),
        Refusal::UserInactive => Problem::new("SS-1111", "The user is deactivated", "Somebody deactivated the sync user. The copy stands still until this is mended.")
            .mended_by(admin)
            .step("Activate the user in Setup, Users, then sign in again.")
            .act(MendAct::SignIn),
        Refusal::OrgInactive => Problem::new("SS-1112", "The org is locked", "Salesforce says that the org is not active.")
            .mended_by(admin)
            .step("Ask Salesforce why the org is locked.")
            .act(MendAct::SignIn),
        Refusal::LoginRate => Problem::new("SS-1113", "Too many sign-ins within the hour", "Salesforce slows this user down.")
            .mended_by(Mender::Itself)
            .step("Wait some minutes. If it happens often, look for another program that signs in as the same user.")
            .act(MendAct::SignIn),
        Refusal::RedirectMismatch => Problem::new(
            "SS-1114",
            "The callback is not registered with the app",
            "It must be equal in every character: scheme, host, port and path. 127.0.0.1 is not localhost here.",
        )
        .mended_by(admin)
        .step("Setup, External Client App Manager, the app, OAuth settings, Callback URL: add the redirect_url of this environment on a line of its own.")
        .step("Wait 10 to 15 minutes, then sign in again.")
        .act(MendAct::SignIn),
        Refusal::ScopeInvalid => Problem::new("SS-1115", "The app lacks a scope that we ask for", "We ask for api, refresh_token and openid.")
            .mended_by(admin)
            .step("Setup, External Client App Manager, the app, OAuth settings: add the three scopes.")
            .act(MendAct::SignIn),
        Refusal::GrantUnsupported | Refusal::ClientUnauthorized => Problem::new(
            "SS-1116",
            "The app may not sign in this way",
            "The flow is not enabled for this app, or not offered at this login address.",
        )
        .mended_by(admin)
        .step("In the app's OAuth settings enable the flow that sign_in names; client credentials also need a \"Run As\" user.")
        .act(MendAct::SignIn),
        Refusal::AccessDenied => Problem::new("SS-1117", "Access was denied in the browser", "Somebody pressed Deny on the page that asks for approval.")
            .step("Sign in again and press Allow.")
            .act(MendAct::SignIn),
        Refusal::AppAccess => Problem::new("SS-1118", "The user was not admitted to the app", "The app admits users that an administrator has approved.")
            .mended_by(admin)
            .step("Assign the app's permission set to the user.")
            .act(MendAct::SignIn),
        Refusal::AppBlocked => Problem::new("SS-1119", "The org blocks the app", "It was not installed in this org, or an administrator blocked it.")
            .mended_by(admin)
            .step("Setup, Connected Apps OAuth Usage: install or unblock the app.")
            .act(MendAct::SignIn),
        Refusal::Other => Problem::new("SS-1120", "Salesforce refused the sign-in", "Its reason is in the details; we do not know it yet.")
            .mended_by(admin)
            .step("Look the reason up in the org's login history: Setup, Login History.")
            .act(MendAct::SignIn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let all = [
            Refusal::GrantEnded,
            Refusal::CodeExpired,
            Refusal::VerifierRejected,
            Refusal::AuthenticationFailure,
            Refusal::AudienceInvalid,
            Refusal::UserNotApproved,
            Refusal::IpRestricted,
            Refusal::LoginHours,
            Refusal::UnknownClient,
            Refusal::ClientSecret,
            Refusal::UserInactive,
            Refusal::OrgInactive,
            Refusal::LoginRate,
            Refusal::RedirectMismatch,
            Refusal::ScopeInvalid,
            Refusal::GrantUnsupported,
            Refusal::ClientUnauthorized,
            Refusal::AccessDenied,
            Refusal::AppAccess,
            Refusal::AppBlocked,
            Refusal::Other,
        ];
        for refusal in all {
            let problem = refused(refusal);
            assert!(problem.code.starts_with("SS-11") && !problem.steps.is_empty(), "{refusal:?}");
            assert!(!problem.to_text().contains('!'), "{refusal:?}");
        }
    }
}
