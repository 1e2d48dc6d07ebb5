//! Who is signed in: userinfo and the identity URL.

use hyper::StatusCode;
use serde_json::{Value as Json, json};

use super::{identity::Session, token::identity_url};
use crate::{
    calendar,
    http::{Call, Reply, bytes_reply, ok},
    ids::RecordId,
    lock::lock,
    org::Org,
};

/// Answers `GET /services/oauth2/userinfo`.
pub fn userinfo(org: &Org, call: &Call) -> Reply {
    let session = match session(org, call) {
        Ok(session) => session,
        Err(reply) => return *reply,
    };
    let mut body = person(org, session.user);
    body["sub"] = Json::String(identity_url(org, session.user));
    body["email_verified"] = Json::Bool(true);
    body["profile"] = Json::String(format!("{}{}", org.base_url, session.user));
    ok(&body)
}

/// Answers `GET /id/<org>/<user>`.
pub fn identity(org: &Org, call: &Call) -> Reply {
    let session = match session(org, call) {
        Ok(session) => session,
        Err(reply) => return *reply,
    };
    let asked = (call.segments.get(1), call.segments.get(2).and_then(|id| RecordId::parse(id)));
    if asked.0.and_then(|id| RecordId::parse(id)) != Some(org.id()) || asked.1 != Some(session.user) {
        return refuse("Wrong_Org");
    }
    let mut body = person(org, session.user);
    body["id"] = Json::String(identity_url(org, session.user));
    body["asserted_user"] = Json::Bool(true);
    body["username"] = body["preferred_username"].clone();
    body["display_name"] = body["name"].clone();
    body["last_modified_date"] = Json::String(calendar::time_text(org.clock.stamp_ms()));
    ok(&body)
}

fn person(org: &Org, user: RecordId) -> Json {
    let text = |field: &str| org.text_of("User", user, field).unwrap_or_default();
    let base = org.base_url.as_str().trim_end_matches('/');
    let data = format!("{base}/services/data/v{{version}}/");
    json!({
        "user_id": user.as_str(),
        "organization_id": org.id().as_str(),
        "preferred_username": text("Username"),
        "nickname": text("FirstName").to_lowercase(),
        "name": text("Name"),
        "email": text("Email"),
        "given_name": text("FirstName"),
        "family_name": text("LastName"),
        "zoneinfo": text("TimeZoneSidKey"),
        "photos": {"picture": format!("{base}/profilephoto/005/F"), "thumbnail": format!("{base}/profilephoto/005/T")},
        "picture": format!("{base}/profilephoto/005/F"),
        "urls": {
            "enterprise": format!("{base}/services/Soap/c/{{version}}/{}", org.id().short()),
            "metadata": format!("{base}/services/Soap/m/{{version}}/{}", org.id().short()),
            "partner": format!("{base}/services/Soap/u/{{version}}/{}", org.id().short()),
            "rest": data,
            "sobjects": format!("{data}sobjects/"),
            "search": format!("{data}search/"),
            "query": format!("{data}query/"),
            "recent": format!("{data}recent/"),
            "tooling_rest": format!("{data}tooling/"),
            "profile": format!("{base}/{user}"),
            "custom_domain": base,
        },
        "active": true,
        "user_type": "STANDARD",
        "language": text("LanguageLocaleKey"),
        "locale": text("LocaleSidKey"),
        "utcOffset": 3_600_000,
        "updated_at": calendar::time_text(org.clock.stamp_ms()),
    })
}

fn session(org: &Org, call: &Call) -> Result<Session, Box<Reply>> {
    let bearer = call.header("authorization").and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("Bearer") || scheme == "OAuth").then_some(token)
    });
    let token = bearer.map(str::to_owned).or_else(|| call.form("access_token"));
    let Some(token) = token else { return Err(Box::new(refuse("Missing_OAuth_Token"))) };
    lock(&org.identity).session(token.trim()).cloned().ok_or_else(|| Box::new(refuse("Bad_OAuth_Token")))
}

fn refuse(text: &'static str) -> Reply {
    bytes_reply(StatusCode::FORBIDDEN, "text/html;charset=UTF-8", text.as_bytes().to_vec())
}
