//! One renewal at a time, across tasks and programs.

use engine::session::Standing;
use futures::future::join_all;
use salesforce::{AccessToken, Error, Refusal, TokenSource};
use simulator::Fault;

use crate::world::World;

const TOKEN: &str = "POST /services/oauth2/token";

async fn token(session: &dyn TokenSource) -> AccessToken {
    session.current().await.expect("a token")
}

#[tokio::test]
async fn many_tasks_with_the_same_stale_token_renew_once() {
    let world = World::start_as("demo", |options| options.refresh_rotation = true).await;
    world.signed_in().await;
    let session = world.session();
    let stale = token(&session).await;
    world.simulator.org().expire_sessions();
    let before = world.simulator.org().requests(TOKEN);
    let renewals = (0..10).map(|_| session.refresh(&stale));
    let fresh = join_all(renewals).await;
    let fresh: Vec<_> = fresh.into_iter().map(|token| token.expect("a fresh token")).collect();
    assert!(fresh.iter().all(|token| *token == fresh[0] && *token != stale));
    assert_eq!(world.simulator.org().requests(TOKEN) - before, 1);
}

#[tokio::test]
async fn two_programs_that_race_under_rotation_share_one_renewal_and_keep_the_sign_in() {
    let world = World::start_as("demo", |options| options.refresh_rotation = true).await;
    world.signed_in().await;
    let programs = [world.session(), world.session(), world.session()];
    let stale = token(&programs[0]).await;
    for program in &programs {
        assert!(token(program).await == stale);
    }
    for _ in 0..5 {
        let stale = token(&programs[0]).await;
        world.simulator.org().expire_sessions();
        let before = world.simulator.org().requests(TOKEN);
        let fresh = join_all(programs.iter().map(|program| program.refresh(&stale))).await;
        let fresh: Vec<_> = fresh.into_iter().map(|token| token.expect("nobody lost the sign-in")).collect();
        assert!(fresh.iter().all(|token| *token == fresh[0]));
        assert_eq!(world.simulator.org().requests(TOKEN) - before, 1);
    }
}

#[tokio::test]
async fn a_program_that_starts_later_needs_no_renewal() {
    let world = World::start().await;
    world.signed_in().await;
    let before = world.simulator.org().requests(TOKEN);
    token(&world.session()).await;
    assert_eq!(world.simulator.org().requests(TOKEN), before);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_not_asked_for_again_and_the_next_try_tells_the_truth() {
    let world = World::start_as("demo", |options| options.refresh_rotation = true).await;
    world.signed_in().await;
    let session = world.session();
    let stale = token(&session).await;
    world.simulator.org().expire_sessions();
    world.simulator.org().inject(TOKEN, Fault::LostAnswer, 1);
    let before = world.simulator.org().requests(TOKEN);
    let error = session.refresh(&stale).await.expect_err("no answer");
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    assert_eq!(world.simulator.org().requests(TOKEN) - before, 1, "it was repeated blindly");
    // The token that was traded is dead, and its successor was lost on the way.
    let mut standing = session.standing();
    let error = session.refresh(&stale).await.expect_err("the sign-in is gone");
    assert!(matches!(error, Error::Refused { refusal: Refusal::GrantEnded, .. }), "{error}");
    assert_eq!(*standing.borrow_and_update(), Standing::Ended(Refusal::GrantEnded));
    assert!(matches!(world.session().current().await, Err(Error::SignInNeeded)), "it was forgotten");
}

#[tokio::test]
async fn an_org_that_briefly_fails_does_not_end_the_sign_in() {
    let world = World::start().await;
    world.signed_in().await;
    let session = world.session();
    let stale = token(&session).await;
    world.simulator.org().expire_sessions();
    world.simulator.org().inject(TOKEN, Fault::Unavailable { retry_after: None }, 1);
    session.refresh(&stale).await.expect_err("unavailable");
    session.refresh(&stale).await.expect("available again");
}

#[tokio::test]
async fn a_given_refresh_token_works_until_the_org_rotates_it() {
    let world = World::start().await;
    world.signed_in().await;
    let stored = world.stored_refresh_token().await;
    let mut options = world.options();
    options.secrets = engine::secrets::Secrets::in_memory();
    options.variables.refresh_token = Some(stored.into());
    let session = engine::session::Session::new(&world.environment, None, &options).expect("a session");
    let stale = token(&session).await;
    world.simulator.org().expire_sessions();
    world.simulator.org().set_refresh_rotation(true);
    let error = session.refresh(&stale).await.expect_err("it cannot be kept");
    let problem = engine::Problem::from(&error);
    assert_eq!(problem.code, "SS-6004", "{problem}");
}

#[tokio::test]
async fn dropping_a_caller_in_the_middle_of_a_renewal_loses_nothing() {
    let world = World::start_as("demo", |options| options.refresh_rotation = true).await;
    world.signed_in().await;
    let session = world.session();
    for org_has_rotated in [false, true, true] {
        let stale = token(&session).await;
        world.simulator.org().expire_sessions();
        let before = world.simulator.org().requests(TOKEN);
        let renewing = session.clone();
        let given_up = stale.clone();
        let task = tokio::spawn(async move { renewing.refresh(&given_up).await.map(drop) });
        while org_has_rotated && world.simulator.org().requests(TOKEN) == before {
            tokio::task::yield_now().await;
        }
        task.abort();
        let _ = task.await;
        session.refresh(&stale).await.expect("the sign-in outlives a caller that gave up");
    }
}
