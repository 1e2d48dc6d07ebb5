//! The description of the read API, in OpenAPI.

/// The document, as it stands beside the guide.
pub fn text() -> &'static str {
    include_str!("../../../../../docs/read-api.openapi.json")
}
