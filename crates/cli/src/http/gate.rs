//! Who is let in: by the name that a request was sent to, and by its token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The variable that holds the token.
pub const TOKEN_VARIABLE: &str = "SHADOW_SYNC_READ_TOKEN";

/// What is asked of every request.
///
/// The Host header is checked because a page of another site can make its own name resolve to this machine and then
/// read what is answered. An address of digits cannot be made to resolve to anything else.
#[derive(Clone)]
pub struct Gate {
    is_loopback: bool,
    names: Vec<String>,
    token: Option<Arc<str>>,
}

/// How the address is reached.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// The address to listen on.
    pub ip: IpAddr,
    /// Whether this process ends TLS itself.
    pub has_tls: bool,
    /// Whether a proxy ends TLS before it.
    pub is_behind_proxy: bool,
}

/// Why an address must not be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Tokens and answers would travel in the clear.
    Clear(IpAddr),
    /// Nobody would be kept out.
    NoToken(IpAddr),
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Clear(ip) => write!(
                formatter,
                "{ip} is reachable by other machines, and without TLS everybody in between could read the token and \
                 the answers\n  - Give --tls-cert and --tls-key.\n  - Or give --behind-proxy, if a proxy that ends \
                 TLS is the only one who reaches this address.\n  - Or listen on 127.0.0.1."
            ),
            Self::NoToken(ip) => write!(
                formatter,
                "others than this machine's users reach {ip}, and no token keeps them out\n  - Set {TOKEN_VARIABLE} \
                 to a long random text, and give it to those who may read."
            ),
        }
    }
}

impl Gate {
    /// A gate for an address.
    ///
    /// - `names`: further names in the Host header, beside `localhost` and addresses of digits.
    /// - `token`: what a request must show; asked for unless only this machine reaches the address.
    /// - **Errors:** see [`Refusal`].
    pub fn new(reach: Reach, names: &[String], token: Option<String>) -> Result<Self, Refusal> {
        let is_loopback = reach.ip.is_loopback();
        if !is_loopback && !reach.has_tls && !reach.is_behind_proxy {
            return Err(Refusal::Clear(reach.ip));
        }
        // A proxy on this machine brings requests from elsewhere to the loopback address.
        let is_private = is_loopback && !reach.is_behind_proxy;
        // White space around it does not travel in a header; nothing else is no token.
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if !is_private && token.is_none() {
            return Err(Refusal::NoToken(reach.ip));
        }
        Ok(Self {
            is_loopback,
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            token: token.filter(|_| !is_private).map(Into::into),
        })
    }

    /// What a request that is not let through gets.
    fn turns_away(&self, request: &Request) -> Option<Response> {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        // HTTP/2 carries the name in the address.
        let host = request.uri().authority().map(Authority::as_str).or_else(|| header(header::HOST));
        if !host.is_some_and(|host| self.knows(host)) {
            let said =
                "this name is not served here: call it by its address, or start `serve` with --host NAME";
            return Some(refuse(StatusCode::MISDIRECTED_REQUEST, said));
        }
        if !self.admits(header(header::AUTHORIZATION)) {
            let said = "the token is missing or wrong: send SHADOW_SYNC_READ_TOKEN as a bearer token";
            let mut answer = refuse(StatusCode::UNAUTHORIZED, said);
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Some(answer);
        }
        None
    }

    /// Whether a request was sent to a name that is ours. The port does not matter: a proxy has its own.
    fn knows(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
        });
        let name = name.to_ascii_lowercase();
        let digits = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(&name);
        match digits.parse::<IpAddr>() {
            Ok(ip) => !self.is_loopback || ip.is_loopback() || self.names.contains(&name),
            Err(_) => name == "localhost" || self.names.contains(&name),
        }
    }

    fn admits(&self, shown: Option<&str>) -> bool {
        let Some(token) = &self.token else { return true };
        // The scheme's letter case does not matter (RFC 9110), the token's does.
        let shown = shown.and_then(|value| value.split_once(' '));
        let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let shown = shown.map(|(_, token)| token.trim_start_matches(' ')).unwrap_or_default();
        is_equal(shown.as_bytes(), token.as_bytes())
    }
}

/// Compares in a time that does not tell where the first difference is.
fn is_equal(left: &[u8], right: &[u8]) -> bool {
    let differences = left.iter().zip(right).fold(0, |sum, (left, right)| sum | (left ^ right));
    left.len() == right.len() && differences == 0
}

/// Lets a request through, or answers it at the gate.
pub async fn keep(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if let Some(refusal) = gate.turns_away(&request) {
        return refusal;
    }
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn refuse(status: StatusCode, said: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": said, "error": said });
    let mut answer = (status, Json(body)).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const EVERYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn gate(ip: IpAddr, has_tls: bool, is_behind_proxy: bool, token: Option<&str>) -> Result<Gate, Refusal> {
        let names = ["Shadow.Example".to_owned()];
        Gate::new(Reach { ip, has_tls, is_behind_proxy }, &names, token.map(str::to_owned))
    }

    #[test]
    fn other_machines_are_served_only_with_tls_or_behind_a_proxy_and_with_a_token() {
        assert_eq!(gate(EVERYWHERE, false, false, Some("t")).err(), Some(Refusal::Clear(EVERYWHERE)));
        assert_eq!(gate(EVERYWHERE, true, false, None).err(), Some(Refusal::NoToken(EVERYWHERE)));
        for blank in ["", " ", "\t \n"] {
            assert_eq!(gate(EVERYWHERE, true, false, Some(blank)).err(), Some(Refusal::NoToken(EVERYWHERE)));
            assert_eq!(gate(HERE, false, true, Some(blank)).err(), Some(Refusal::NoToken(HERE)));
        }
        assert!(gate(EVERYWHERE, true, false, Some("t")).is_ok());
        assert!(gate(EVERYWHERE, false, true, Some("t")).is_ok());
        assert_eq!(gate(HERE, false, true, None).err(), Some(Refusal::NoToken(HERE)));
        assert!(gate(HERE, false, false, None).is_ok());
        assert!(gate(IpAddr::V6(Ipv6Addr::LOCALHOST), false, false, None).is_ok());
    }

    #[test]
    fn the_token_is_asked_for_unless_only_this_machine_calls() {
        let private = gate(HERE, false, false, Some("secret")).unwrap();
        assert!(private.admits(None));
        for gate in [gate(HERE, false, true, Some("secret")), gate(EVERYWHERE, true, false, Some("secret"))] {
            let gate = gate.unwrap();
            for right in ["Bearer secret", "bearer secret", "BEARER  secret"] {
                assert!(gate.admits(Some(right)), "{right}");
            }
            let wrong = ["", "secret", "Bearer secre", "Bearer secrets", "Bearer Secret", "Basic secret"];
            for wrong in wrong.map(Some).into_iter().chain([None]) {
                assert!(!gate.admits(wrong), "{wrong:?}");
            }
        }
    }

    #[test]
    fn a_name_that_somebody_made_resolve_to_this_machine_is_not_ours() {
        let here = gate(HERE, false, false, None).unwrap();
        for ours in ["localhost:8770", "127.0.0.1:8770", "[::1]:8770", "LOCALHOST", "shadow.example:443"] {
            assert!(here.knows(ours), "{ours}");
        }
        for foreign in ["evil.example:8770", "localhost.evil.example", "10.0.0.7:8770", "", ":8770"] {
            assert!(!here.knows(foreign), "{foreign}");
        }
        let everywhere = gate(EVERYWHERE, true, false, Some("t")).unwrap();
        assert!(everywhere.knows("10.0.0.7:8770") && everywhere.knows("[2001:db8::7]:8770"));
        assert!(!everywhere.knows("evil.example"));
    }
}
