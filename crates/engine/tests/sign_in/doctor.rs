//! The preflight: what is wrong is named, with its cure; what is right costs little.

use engine::{
    Problem,
    api::preflight::{CheckColour, CheckView, PreflightView},
    config::Environment,
    doctor::{self, Subject},
    sign_in::SignIn,
};
use shadow::mapping::Mapping;
use simulator::Fault;

use crate::world::World;

/// Everything but the database, which has tests of its own.
async fn examine(world: &World, sign_in: &SignIn) -> PreflightView {
    let mappings = Mapping::built_in();
    let environment =
        Environment { pubsub_endpoint: world.simulator.grpc_url().clone(), ..world.environment.clone() };
    let subject = Subject {
        environment: &environment,
        sign_in,
        mappings: &mappings,
        store: Err(Box::new(Problem::new("SS-3001", "The database does not answer", "It is not running."))),
    };
    let mut heard = Vec::new();
    let view = doctor::run(&subject, |check: &CheckView| heard.push(check.id.clone())).await;
    assert_eq!(heard, view.checks.iter().map(|check| check.id.clone()).collect::<Vec<_>>());
    view
}

fn check<'a>(view: &'a PreflightView, id: &str) -> &'a CheckView {
    view.checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("{id} in {view:#?}"))
}

#[tokio::test]
async fn a_healthy_org_is_green_and_costs_little() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    let before = world.simulator.org().api_requests_used();
    let view = examine(&world, &sign_in).await;
    let spent = world.simulator.org().api_requests_used() - before;
    let bad: Vec<_> = view.checks.iter().filter(|check| check.colour == CheckColour::Red).collect();
    assert!(bad.iter().all(|check| check.id == "database"), "{bad:#?}");
    assert_eq!(check(&view, "query-job").colour, CheckColour::Green);
    for id in ["events", "events.Product2", "events.PricebookEntry", "events.Account"] {
        let found = check(&view, id);
        assert_eq!((found.colour, found.api_calls), (CheckColour::Green, 0), "{found:?}");
    }
    assert_eq!(u64::from(view.api_calls), spent, "what it says it cost is what it cost");
    assert!(spent <= 20, "{spent}");
}

#[tokio::test]
async fn an_object_whose_changes_may_not_be_received_is_named_with_its_cure() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    world.simulator.org().set_view_all("Account", false);
    let view = examine(&world, &sign_in).await;
    let account = check(&view, "events.Account");
    assert_eq!(account.colour, CheckColour::Red, "{account:?}");
    assert!(account.cure.iter().any(|step| step.contains("View All Records")), "{account:?}");
    assert_eq!(check(&view, "events.Product2").colour, CheckColour::Green);
}

#[tokio::test]
async fn a_hidden_field_is_named_and_what_follows_from_it() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    let org = world.simulator.org();
    org.set_field_visible("Account", "Internet_Eligibility__c", false);
    org.set_field_visible("PricebookEntry", "UnitPrice", false);
    let view = examine(&world, &sign_in).await;
    let optional = check(&view, "field.Account.Internet_Eligibility__c");
    assert_eq!(optional.colour, CheckColour::Yellow);
    assert!(optional.cure[0].contains("Account.Internet_Eligibility__c"), "{optional:?}");
    assert_eq!(check(&view, "field.PricebookEntry.UnitPrice").colour, CheckColour::Red);
    assert_eq!(check(&view, "field.Product2.Name").colour, CheckColour::Green);
}

#[tokio::test]
async fn a_hidden_object_is_red_and_the_others_are_still_examined() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    world.simulator.org().set_object_visible("Product2", false);
    let view = examine(&world, &sign_in).await;
    let hidden = check(&view, "object.Product2");
    assert_eq!((hidden.colour, hidden.code.as_deref()), (CheckColour::Red, Some("SS-2002")));
    assert_eq!(check(&view, "object.Account").colour, CheckColour::Green);
    assert_eq!(check(&view, "count.Account").colour, CheckColour::Green);
    assert_eq!(check(&view, "query-job").colour, CheckColour::Red);
}

#[tokio::test]
async fn nobody_signed_in_is_said_so_and_costs_nothing() {
    let world = World::start().await;
    let sign_in = world.sign_in();
    sign_in.resume().await;
    let view = examine(&world, &sign_in).await;
    assert_eq!(check(&view, "sign-in").code.as_deref(), Some("SS-1001"));
    assert_eq!(check(&view, "login-address").colour, CheckColour::Green);
    assert_eq!((view.api_calls, world.simulator.org().api_requests_used()), (0, 0));
}

#[tokio::test]
async fn an_older_org_is_spoken_to_in_its_own_version() {
    let world = World::start_as("demo", |options| options.newest_version = 65).await;
    let sign_in = world.signed_in().await;
    let view = examine(&world, &sign_in).await;
    let version = check(&view, "api-version");
    assert_eq!(version.colour, CheckColour::Yellow);
    assert!(version.finding.contains("65.0"), "{version:?}");
    assert_eq!(check(&view, "query-job").colour, CheckColour::Green);
}

#[tokio::test]
async fn the_quota_is_yellow_above_four_fifths() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    world.simulator.org().set_api_requests(85_000, 100_000);
    let view = examine(&world, &sign_in).await;
    assert_eq!(check(&view, "limits.api").colour, CheckColour::Yellow);
}

#[tokio::test]
async fn limits_that_the_user_may_not_see_are_grey() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    let refusal = Fault::Error {
        status: 403,
        code: "INSUFFICIENT_ACCESS".to_owned(),
        message: "insufficient access".to_owned(),
    };
    world.simulator.org().inject("GET /services/data/*/limits", refusal, 1);
    let view = examine(&world, &sign_in).await;
    assert_eq!(check(&view, "limits.query-jobs").colour, CheckColour::Grey);
}

#[tokio::test]
async fn a_clock_that_is_off_is_noticed() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    world.simulator.org().set_clock_ahead_ms(60_000);
    assert_eq!(check(&examine(&world, &sign_in).await, "clock").colour, CheckColour::Yellow);
    world.simulator.org().set_clock_ahead_ms(-600_000);
    assert_eq!(check(&examine(&world, &sign_in).await, "clock").colour, CheckColour::Red);
}

#[tokio::test]
async fn a_login_address_that_is_not_salesforce_is_red() {
    let world = World::start().await;
    let sign_in = world.signed_in().await;
    world.simulator.org().inject("GET /services/data", Fault::HtmlOk, 1);
    let view = examine(&world, &sign_in).await;
    assert_eq!(check(&view, "login-address").code.as_deref(), Some("SS-1008"));
}
