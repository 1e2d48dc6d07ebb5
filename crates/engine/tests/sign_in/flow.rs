//! The sign-in as a window sees it.

use engine::{
    api::sign_in::SignInState,
    secrets::{Secrets, VariableSecrets},
};
use salesforce::Purpose;
use shadow::ObjectName;
use simulator::Fault;

use crate::world::{World, browse};

fn code(state: &SignInState) -> &str {
    match state {
        SignInState::Failed { problem } => &problem.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_person_approves_and_the_window_knows_org_user_and_limits() {
    let world = World::start_as("demo", |options| options.org_name = "Acme Telecom".to_owned()).await;
    let sign_in = world.signed_in().await;
    let SignInState::SignedIn { org, kept, .. } = sign_in.state() else { panic!() };
    assert_eq!(org.org_name, "Acme Telecom");
    assert_eq!(org.username, simulator::DEMO_USERNAME);
    assert!(org.is_simulated && org.is_multi_currency);
    assert_eq!(org.api_version, "67.0");
    assert!(org.api_usage.is_some());
    assert!(!kept, "a demo keeps nothing");
    let client = sign_in.client().expect("a client");
    client.with_purpose(Purpose::Count).count(&ObjectName::account(), None).await.expect("a count");
}

#[tokio::test]
async fn a_sign_in_is_resumed_without_a_person() {
    let world = World::start().await;
    world.signed_in().await;
    world.simulator.org().expire_sessions();
    let later = world.sign_in();
    later.resume().await;
    assert!(matches!(later.state(), SignInState::SignedIn { .. }), "{:?}", later.state());
}

#[tokio::test]
async fn without_a_sign_in_resuming_asks_for_a_person() {
    let world = World::start().await;
    let sign_in = world.sign_in();
    assert!(engine::sign_in::is_under_way(&sign_in.state()), "nobody has looked yet");
    sign_in.resume().await;
    assert_eq!(sign_in.state(), SignInState::SignedOut);
    assert_eq!(sign_in.client().expect_err("nobody").code, "SS-1001");
}

#[tokio::test]
async fn a_denial_is_said_so() {
    let world = World::start_as("demo", |options| options.auto_approve = false).await;
    let sign_in = world.sign_in();
    let state = sign_in.start(None).await.expect("it begins");
    let SignInState::WaitingForBrowser { authorize_url, .. } = &state else { panic!("{state:?}") };
    let browser = reqwest::Client::builder().no_proxy().build().expect("a browser");
    let page = browser.get(authorize_url).send().await.expect("a page").text().await.expect("its text");
    let ticket = page.split("name=\"ticket\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let form = [("ticket", ticket.expect("a ticket")), ("decision", "deny")];
    let submit = world.simulator.base_url().join("/services/oauth2/authorize").expect("a URL");
    browser.post(submit).form(&form).send().await.expect("a page");
    assert_eq!(code(&sign_in.settled().await), "SS-1117");
}

#[tokio::test]
async fn cancelling_frees_the_port_and_shows_what_was_before() {
    let world = World::start().await;
    let sign_in = world.sign_in();
    sign_in.resume().await;
    sign_in.start(None).await.expect("it begins");
    sign_in.cancel().await;
    assert_eq!(sign_in.state(), SignInState::SignedOut);
    let state = sign_in.start(None).await.expect("the port is free");
    browse(&state).await;
    assert!(matches!(sign_in.settled().await, SignInState::SignedIn { .. }));
    sign_in.start(None).await.expect("somebody else signs in");
    sign_in.cancel().await;
    assert!(matches!(sign_in.state(), SignInState::SignedIn { .. }), "the one before goes on");
}

#[tokio::test]
async fn beginning_again_ends_the_wait_before() {
    let world = World::start().await;
    let sign_in = world.sign_in();
    let first = sign_in.start(None).await.expect("it begins");
    let second = sign_in.start(None).await.expect("it begins again");
    assert_ne!(first, second);
    browse(&second).await;
    assert!(matches!(sign_in.settled().await, SignInState::SignedIn { .. }));
}

#[tokio::test]
async fn a_taken_port_is_a_problem_with_a_cure() {
    let world = World::start().await;
    let port = world.environment.redirect_url.port().expect("a port");
    let _holder = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    let problem = world.sign_in().start(None).await.expect_err("taken");
    assert_eq!(problem.code, "SS-1004");
    assert!(problem.title.contains(&port.to_string()) && !problem.steps.is_empty(), "{problem}");
}

#[tokio::test]
async fn an_unregistered_callback_never_reaches_us_and_the_wait_says_where_to_look() {
    let world = World::start().await;
    world.simulator.org().set_callbacks(vec!["http://localhost:1/other".to_owned()]);
    let sign_in = world.sign_in();
    let state = sign_in.start(None).await.expect("it begins");
    browse(&state).await;
    assert!(matches!(sign_in.state(), SignInState::WaitingForBrowser { .. }));
    sign_in.cancel().await;
}

#[tokio::test]
async fn signing_in_again_ends_the_approval_before() {
    let world = World::start().await;
    world.signed_in().await;
    let before = world.stored_refresh_token().await;
    let again = world.signed_in().await;
    assert_ne!(world.stored_refresh_token().await, before);
    again.client().expect("a client").count(&ObjectName::product(), None).await.expect("the new one lives");
    let mut options = world.options();
    options.variables.refresh_token = Some(before.into());
    let old = world.sign_in_with(options);
    old.resume().await;
    assert_eq!(code(&old.state()), "SS-1101", "approvals pile up");
}

#[tokio::test]
async fn signing_out_revokes_and_forgets() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    let token = world.stored_refresh_token().await;
    sign_in.sign_out().await.expect("signed out");
    assert_eq!(sign_in.state(), SignInState::SignedOut);
    assert_eq!(sign_in.client().expect_err("nobody").code, "SS-1001");
    let later = world.sign_in();
    later.resume().await;
    assert_eq!(later.state(), SignInState::SignedOut);
    let mut options = world.options();
    options.variables.refresh_token = Some(token.into());
    let thief = world.sign_in_with(options);
    thief.resume().await;
    assert_eq!(code(&thief.state()), "SS-1101", "the token was not revoked");
}

#[tokio::test]
async fn a_sign_in_that_the_org_ends_is_shown_at_once() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    let client = sign_in.client().expect("a client");
    world.simulator.org().revoke_grants();
    client.count(&ObjectName::product(), None).await.expect_err("revoked");
    let mut state = sign_in.watch();
    let failed = state.wait_for(|state| matches!(state, SignInState::Failed { .. })).await.expect("shown");
    assert_eq!(code(&failed), "SS-1101");
}

#[tokio::test]
async fn a_simulated_org_is_refused_outside_demo() {
    let world = World::start_as("development", |_| {}).await;
    let sign_in = world.sign_in();
    let state = sign_in.start(None).await.expect("it begins");
    browse(&state).await;
    assert_eq!(code(&sign_in.settled().await), "SS-1301");
    sign_in.client().expect_err("there is no way to the org");
    sign_in.shutdown().await;
    let later = world.sign_in();
    later.resume().await;
    assert_eq!(later.state(), SignInState::SignedOut, "the approval was kept");
}

#[tokio::test]
async fn a_demo_signs_itself_in() {
    let world = World::start().await;
    let mut environment = world.environment.clone();
    environment.sign_in = engine::api::environments::SignInFlow::ClientCredentials;
    assert_eq!(environment.client_id, engine::config::DEMO_CLIENT_ID);
    assert_eq!(engine::config::DEMO_CLIENT_SECRET, simulator::DEMO_CLIENT_SECRET);
    let sign_in = engine::sign_in::SignIn::new(&environment, engine::notice::Notices::default());
    sign_in.resume().await;
    assert!(matches!(sign_in.state(), SignInState::SignedIn { .. }), "{:?}", sign_in.state());
}

#[tokio::test]
async fn a_way_of_signing_in_without_its_secret_names_the_variable() {
    let world = World::start_as("development", |_| {}).await;
    let sign_in = world.sign_in();
    let flow = engine::api::environments::SignInFlow::Jwt;
    let problem = sign_in.start(Some(flow)).await.expect_err("no key");
    assert_eq!(problem.code, "SS-6006");
    assert!(problem.title.contains("SHADOW_SYNC_USERNAME"), "{problem}");
}

#[tokio::test]
async fn an_org_that_fails_while_it_tells_its_name_fails_the_sign_in_and_keeps_the_token() {
    let world = World::start().await;
    let sign_in = world.sign_in();
    world.simulator.org().inject("GET /services/data/*/query*", Fault::ServerError, 3);
    let state = sign_in.start(None).await.expect("it begins");
    browse(&state).await;
    assert!(matches!(sign_in.settled().await, SignInState::Failed { .. }));
    world.simulator.org().withdraw_all();
    sign_in.resume().await;
    assert!(matches!(sign_in.state(), SignInState::SignedIn { .. }), "{:?}", sign_in.state());
}

#[test]
fn nothing_secret_is_printed() {
    let secrets = Secrets::in_memory();
    let variables = VariableSecrets { client_secret: Some("hush".into()), ..VariableSecrets::default() };
    assert!(!format!("{secrets:?}{variables:?}").contains("hush"));
}

#[tokio::test]
async fn a_key_signs_in_by_itself_and_keeps_nothing() {
    let world = World::start().await;
    let keys = simulator::JwtKeys::make();
    let folder = tempfile::tempdir().expect("a folder");
    let private = folder.path().join("key.pem");
    std::fs::write(&private, &keys.private_pem).expect("a file");
    world.simulator.org().register_jwt_key(&keys.public_pem).expect("a public key");
    let mut options = world.options();
    options.variables.username = Some(simulator::DEMO_USERNAME.to_owned());
    options.variables.jwt_key_file = Some(private);
    let sign_in = world.sign_in_with(options);
    let flow = engine::api::environments::SignInFlow::Jwt;
    let state = sign_in.start(Some(flow)).await.expect("no person is needed");
    let SignInState::SignedIn { kept, flow: used, .. } = state else { panic!("{state:?}") };
    assert!(!kept && used == flow);
    world.simulator.org().expire_sessions();
    sign_in.client().expect("a client").count(&ObjectName::product(), None).await.expect("it signs in anew");
}
