//! What the browser shows after the answer has come. Fixed text: nothing of the request is ever repeated.

/// What happened, for the person in front of the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// The code arrived.
    Received,
    /// The person, or the org, said no.
    Denied,
    /// An answer that is not the one we wait for.
    NotOurs,
}

impl Page {
    pub(super) fn html(self) -> String {
        let (title, text) = match self {
            Self::Received => (
                "Signed in",
                "Salesforce has answered. You can close this page; Shadow Sync goes on by itself.",
            ),
            Self::Denied => (
                "Not signed in",
                "Salesforce did not give access. Shadow Sync says why, and what to do. You can close this page.",
            ),
            Self::NotOurs => (
                "Not the answer we wait for",
                "This address belongs to a sign-in that is waiting for another answer. Go back to the page that \
                 Shadow Sync opened, or start the sign-in again there.",
            ),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - Shadow Sync</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
             <body><main><p class=\"name\">Shadow Sync</p><h1>{title}</h1><p>{text}</p></main></body></html>\n"
        )
    }
}

const STYLE: &str = "\
    :root{color-scheme:light dark}\
    body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif;\
    background:Canvas;color:CanvasText}\
    main{max-width:30rem;padding:2rem}\
    h1{font-size:1.5rem;line-height:1.2;margin:.25rem 0 .75rem}\
    .name{margin:0;font-weight:600;opacity:.65}";
