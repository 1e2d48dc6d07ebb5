//! SOAP `login()`: legacy, but several clients still begin with it.

use hyper::StatusCode;

use crate::{
    http::{Call, Reply, bytes_reply, escape_html},
    lock::lock,
    oauth::{DEMO_CLIENT_ID, Session},
    org::Org,
};

/// The password of every user. It opens nothing but a simulated org.
pub const DEMO_PASSWORD: &str = "simulated-org-demo-password";

/// Answers `POST /services/Soap/u/<version>`.
pub fn answer(org: &Org, call: &Call, version: &str) -> Reply {
    let body = String::from_utf8_lossy(&call.body);
    let username = element(&body, "username").unwrap_or_default();
    let password = element(&body, "password").unwrap_or_default();
    let user = org.user_by_name(&username).filter(|_| password.starts_with(DEMO_PASSWORD));
    let Some(user) = user else { return fault() };
    let session = Session {
        grant: None,
        client_id: DEMO_CLIENT_ID.to_owned(),
        user,
        scope: "full".to_owned(),
        issued_ms: org.clock.now_ms(),
    };
    let token = lock(&org.identity).begin_session(org.id(), session);
    let base = org.base_url.as_str().trim_end_matches('/');
    let text = |field: &str| escape_html(&org.text_of("User", user, field).unwrap_or_default());
    // The order of the elements is that of the WSDL: a client may count them.
    reply(
        StatusCode::OK,
        &format!(
            "<loginResponse><result><metadataServerUrl>{base}/services/Soap/m/{version}/{org_id}</metadataServerUrl>\
             <passwordExpired>false</passwordExpired><sandbox>{sandbox}</sandbox>\
             <serverUrl>{base}/services/Soap/u/{version}/{org_id}</serverUrl><sessionId>{token}</sessionId>\
             <userId>{user}</userId><userInfo><accessibilityMode>false</accessibilityMode>\
             <chatterExternal>false</chatterExternal><currencySymbol>€</currencySymbol>\
             <orgAttachmentFileSizeLimit>5242880</orgAttachmentFileSizeLimit>\
             <orgDefaultCurrencyIsoCode>EUR</orgDefaultCurrencyIsoCode>\
             <orgDefaultCurrencyLocale>en_IE_EURO</orgDefaultCurrencyLocale>\
             <orgDisallowHtmlAttachments>false</orgDisallowHtmlAttachments>\
             <orgHasPersonAccounts>false</orgHasPersonAccounts><organizationId>{org_id}</organizationId>\
             <organizationMultiCurrency>{multi_currency}</organizationMultiCurrency>\
             <organizationName>{org_name}</organizationName><profileId>00eSM0000000001AAA</profileId>\
             <roleId xsi:nil=\"true\"/><sessionSecondsValid>7200</sessionSecondsValid>\
             <userDefaultCurrencyIsoCode>EUR</userDefaultCurrencyIsoCode><userEmail>{email}</userEmail>\
             <userFullName>{name}</userFullName><userId>{user}</userId><userLanguage>en_US</userLanguage>\
             <userLocale>en_GB</userLocale><userName>{username}</userName><userTimeZone>Europe/Berlin</userTimeZone>\
             <userType>Standard</userType><userUiSkin>Theme3</userUiSkin></userInfo></result></loginResponse>",
            org_id = org.id(),
            sandbox = org.record.is_sandbox,
            multi_currency = org.options.multi_currency,
            org_name = escape_html(&org.record.name),
            email = text("Email"),
            name = text("Name"),
            username = text("Username"),
        ),
    )
}

fn fault() -> Reply {
    reply(
        StatusCode::INTERNAL_SERVER_ERROR,
        "<soapenv:Fault><faultcode>sf:INVALID_LOGIN</faultcode><faultstring>INVALID_LOGIN: Invalid username, password, \
         security token; or user locked out.</faultstring><detail><sf:LoginFault xsi:type=\"sf:LoginFault\">\
         <sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode><sf:exceptionMessage>Invalid username, password, security \
         token; or user locked out.</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>",
    )
}

fn reply(status: StatusCode, body: &str) -> Reply {
    let envelope = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns=\"urn:partner.soap.sforce.com\" \
         xmlns:sf=\"urn:fault.partner.soap.sforce.com\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\
         <soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    );
    bytes_reply(status, "text/xml;charset=UTF-8", envelope.into_bytes())
}

/// The text of the first element of this name, whatever its prefix.
fn element(xml: &str, name: &str) -> Option<String> {
    let at = xml.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = xml[..*at].rsplit('<').next().unwrap_or_default();
        (before.is_empty() || before.ends_with(':')) && !before.contains(['/', '>'])
    })?;
    let rest = &xml[at..];
    let start = rest.find('>')? + 1;
    let end = rest[start..].find('<')? + start;
    Some(unescape(&rest[start..end]))
}

fn unescape(text: &str) -> String {
    let named =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&")];
    named.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}
