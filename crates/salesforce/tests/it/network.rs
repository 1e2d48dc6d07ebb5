//! The way to the event service: certificates, proxies, blocked ports, and what stands in between.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use salesforce::{
    AccessToken, Disposition, Error, InstanceOrigin, TokenSource,
    pubsub::{Proxy, PubSub, PubSubOptions, Start},
};
use simulator::{Disturbance, Fault, Options};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use url::Url;

use crate::world::{Handed, Tokens, World, all, channel, end, login_host_of, next, policy};

/// An org with TLS on all its ports, and the root that its certificate comes from.
async fn encrypted() -> (World, Vec<u8>) {
    let world = World::streaming_with(Options { tls: true, ..Options::default() }).await;
    let pem = world.simulator.ca_pem().expect("a throw-away authority");
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate").to_vec();
    (world, root)
}

/// The event service of an org with TLS; signing in trusts the same root.
fn pubsub(world: &World, root: &[u8], options: PubSubOptions) -> PubSub {
    let login_url = world.simulator.base_url().clone();
    let transport = salesforce::TransportOptions {
        extra_roots: vec![root.to_vec()],
        ..salesforce::TransportOptions::for_login(login_url.clone())
    };
    let app = salesforce::auth::App {
        client_id: simulator::DEMO_CLIENT_ID.to_owned(),
        client_secret: Some(simulator::DEMO_CLIENT_SECRET.into()),
    };
    let transport = salesforce::Transport::new(&transport).expect("a transport");
    let host = salesforce::auth::LoginHost::new(transport, policy(&login_url), app, None);
    let tokens = Arc::new(Tokens::new(host)) as Arc<dyn TokenSource>;
    let org_id = world.simulator.org().id().as_str().parse().expect("an org's id");
    PubSub::new(options, tokens, org_id).expect("an event service")
}

#[tokio::test]
async fn a_certificate_is_trusted_only_through_a_root() {
    let (world, root) = encrypted().await;
    assert_eq!(world.simulator.grpc_url().scheme(), "https");
    // Another root, so that there is one where the machine has none.
    let (_, other_root) = encrypted().await;
    let options = PubSubOptions { extra_roots: vec![other_root], ..world.pubsub_options() };
    let error = pubsub(&world, &root, options).topic(&all()).await.expect_err("a stranger's certificate");
    assert!(matches!(error, Error::StreamLost { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");

    let options = PubSubOptions { extra_roots: vec![root.clone()], ..world.pubsub_options() };
    let pubsub = pubsub(&world, &root, options);
    let mut subscription = pubsub.subscribe(&all(), Start::Latest).await.expect("a subscription");
    next(&mut subscription).await;
}

#[tokio::test]
async fn without_tls_only_this_machine_is_spoken_to() {
    let world = World::streaming().await;
    for (endpoint, loopback_allowed) in [
        ("http://api.pubsub.salesforce.com:7443", true),
        ("http://192.168.1.20:7443", true),
        ("http://127.0.0.1:7443", false),
    ] {
        let mut origins = policy(world.simulator.base_url());
        origins.loopback_allowed = loopback_allowed;
        let options = PubSubOptions::new(Url::parse(endpoint).expect("a URL"), origins);
        let app = salesforce::auth::App { client_id: String::new(), client_secret: None };
        let tokens = Arc::new(Tokens::new(login_host_of(world.simulator.base_url(), app)));
        let org_id = world.simulator.org().id().as_str().parse().expect("an org's id");
        let error = PubSub::new(options, tokens, org_id).expect_err(endpoint);
        assert!(matches!(error, Error::ForeignOrigin { .. }), "{endpoint}: {error:?}");
        assert_eq!(error.disposition(), Disposition::Stop);
    }
}

/// A proxy that tunnels one target to where it really is, and refuses all others. It keeps what it was asked.
async fn proxy(tunnelled: &str, real: std::net::SocketAddr) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = Url::parse(&format!("http://user:pass@{}", listener.local_addr().expect("an address")));
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let asking = Arc::clone(&asked);
    let allowed = format!("CONNECT {tunnelled} HTTP/1.1");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (asking, allowed) = (Arc::clone(&asking), allowed.clone());
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    if stream.read_line(&mut request).await.unwrap_or_default() == 0 {
                        return;
                    }
                }
                let granted = request.starts_with(&allowed);
                asking.lock().expect("no panic").push(request);
                if !granted {
                    let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
                    return;
                }
                let mut target = TcpStream::connect(real).await.expect("the org listens");
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("a client");
                let _ = copy_bidirectional(&mut stream, &mut target).await;
            });
        }
    });
    (url.expect("a URL"), asked)
}

fn grpc_address(world: &World) -> std::net::SocketAddr {
    let port = world.simulator.grpc_url().port().expect("a port");
    std::net::SocketAddr::from(([127, 0, 0, 1], port))
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_with_its_password() {
    let (world, root) = encrypted().await;
    let endpoint = world.simulator.grpc_url().clone();
    let target = format!("localhost:{}", endpoint.port().expect("a port"));
    let (proxy, asked) = proxy(&target, grpc_address(&world)).await;
    let options = PubSubOptions {
        extra_roots: vec![root.clone()],
        proxy: Proxy::Through(proxy),
        ..world.pubsub_options()
    };
    pubsub(&world, &root, options).topic(&all()).await.expect("a topic through the tunnel");
    let asked = asked.lock().expect("no panic").join("\n");
    assert!(asked.starts_with(&format!("CONNECT {target} ")), "{asked}");
    assert!(asked.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz"), "{asked}");
    assert!(!asked.contains("accesstoken"), "{asked}");
}

#[tokio::test]
async fn one_connection_carries_everything_until_it_is_of_no_use() {
    let (world, root) = encrypted().await;
    let target = format!("localhost:{}", grpc_address(&world).port());
    let (proxy, asked) = proxy(&target, grpc_address(&world)).await;
    let options = PubSubOptions {
        extra_roots: vec![root.clone()],
        proxy: Proxy::Through(proxy),
        silence: Duration::from_millis(500),
        ..world.pubsub_options()
    };
    let pubsub = pubsub(&world, &root, options);
    let connections = || asked.lock().expect("no panic").len();
    let mut subscriptions = Vec::new();
    for channel in [all(), channel("/data/Product2ChangeEvent"), channel("/data/ShadowSync__chn")] {
        pubsub.topic(&channel).await.expect("a topic");
        let mut subscription = pubsub.subscribe(&channel, Start::Latest).await.expect("a subscription");
        next(&mut subscription).await;
        subscriptions.push(subscription);
    }
    assert_eq!(connections(), 1);

    world.simulator.org().disturb(&Disturbance::Silence { on: true }).expect("a disturbance");
    for subscription in &mut subscriptions {
        let error = end(subscription).await.expect_err("silent");
        assert!(matches!(error, Error::StreamSilent { .. }), "{error:?}");
    }
    pubsub.topic(&all()).await.expect("a topic");
    assert_eq!(connections(), 2, "a silent connection may be dead without anybody knowing");
    pubsub.forget_connection().await;
    pubsub.topic(&all()).await.expect("a topic");
    assert_eq!(connections(), 3);
}

#[tokio::test]
async fn the_other_port_is_tried_where_the_usual_one_is_blocked() {
    let (world, root) = encrypted().await;
    let (proxy, asked) = proxy("localhost:443", grpc_address(&world)).await;
    let options = PubSubOptions {
        endpoint: Url::parse("https://localhost:7443").expect("a URL"),
        extra_roots: vec![root.clone()],
        proxy: Proxy::Through(proxy),
        ..world.pubsub_options()
    };
    let pubsub = pubsub(&world, &root, options);
    let mut subscription = pubsub.subscribe(&all(), Start::Latest).await.expect("a subscription");
    next(&mut subscription).await;
    let asked = asked.lock().expect("no panic").clone();
    let targets: Vec<_> = asked.iter().filter_map(|request| request.split(' ').nth(1)).collect();
    assert_eq!(targets, ["localhost:7443", "localhost:443"]);
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_said_so_with_its_ports() {
    let (world, root) = encrypted().await;
    let (proxy, _) = proxy("nowhere:1", grpc_address(&world)).await;
    let options = PubSubOptions {
        endpoint: Url::parse("https://localhost:7443").expect("a URL"),
        extra_roots: vec![root.clone()],
        proxy: Proxy::Through(proxy),
        ..world.pubsub_options()
    };
    let error = pubsub(&world, &root, options).subscribe(&all(), Start::Latest).await.expect_err("blocked");
    assert_eq!(error.disposition(), Disposition::Retry);
    let told = error.to_string();
    assert!(told.contains("port 7443") && told.contains("port 443"), "{told}");
    assert!(!told.contains("pass"), "{told}");
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_does_not_hold_us_up() {
    let (world, root) = encrypted().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let options = PubSubOptions {
        endpoint: Url::parse(&format!("https://127.0.0.1:{port}")).expect("a URL"),
        extra_roots: vec![root.clone()],
        connect_timeout: Duration::from_millis(300),
        ..world.pubsub_options()
    };
    let error = pubsub(&world, &root, options).topic(&all()).await.expect_err("no answer");
    assert!(matches!(error, Error::StreamLost { .. }), "{error:?}");
}

#[tokio::test]
async fn what_stands_in_between_does_not_speak_for_salesforce() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    pubsub.topic(&all()).await.expect("a topic");
    for fault in [
        Fault::HtmlUnavailable,
        Fault::HtmlOk,
        Fault::Status { status: 401 },
        Fault::Status { status: 403 },
        Fault::Status { status: 404 },
        Fault::LostAnswer,
    ] {
        // On a connection that was used before, one failure may be the connection's own.
        world.simulator.org().inject("POST /eventbus.v1.PubSub/*", fault.clone(), 1);
        pubsub.topic(&all()).await.expect("a new connection");
        world.simulator.org().inject("POST /eventbus.v1.PubSub/*", fault.clone(), 2);
        let error = pubsub.topic(&all()).await.expect_err("no answer of Salesforce");
        assert!(matches!(error, Error::StreamLost { .. }), "{fault:?}: {error:?}");
        assert_eq!(error.disposition(), Disposition::Retry, "{fault:?}");
        pubsub.topic(&all()).await.expect("the next try");
    }
}

/// Set for the run of a test within a test: what it sees of the environment is its own.
const INNER: &str = "SHADOW_SYNC_TEST_INNER";

#[tokio::test]
async fn the_environments_proxy_holds_for_events_too() {
    if std::env::var_os(INNER).is_some() {
        return ask_a_distant_service().await;
    }
    let unreachable = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    for (no_proxy, expected) in [("", 2), ("localhost,.acme.example", 0)] {
        let (proxy, asked) = proxy("nowhere:1", unreachable).await;
        let test = tokio::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "network::the_environments_proxy_holds_for_events_too"])
            .env(INNER, "1")
            .env("HTTPS_PROXY", proxy.as_str())
            .env("NO_PROXY", no_proxy)
            .output()
            .await
            .expect("a run");
        assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stdout));
        let asked = asked.lock().expect("no panic").clone();
        assert_eq!(asked.len(), expected, "{asked:?}");
        assert!(asked.iter().all(|request| request.starts_with("CONNECT sf.acme.example:")));
    }
}

/// Asks an address that nobody reaches, with or without a proxy.
async fn ask_a_distant_service() {
    let login_url = Url::parse("https://sf.acme.example").expect("a URL");
    let origins = policy(&login_url);
    let instance = InstanceOrigin::parse("https://sf.acme.example", &origins).expect("an origin");
    let tokens = Arc::new(Handed(AccessToken::new("token".into(), instance)));
    let endpoint = Url::parse("https://sf.acme.example:7443").expect("a URL");
    // Any root will do: nothing is reached.
    let (_, root) = encrypted().await;
    let options = PubSubOptions {
        extra_roots: vec![root],
        connect_timeout: Duration::from_millis(500),
        ..PubSubOptions::new(endpoint, origins)
    };
    let pubsub = PubSub::new(options, tokens, "00D58000000arpq".parse().expect("an id")).expect("a service");
    pubsub.topic(&all()).await.expect_err("it cannot be reached");
}
