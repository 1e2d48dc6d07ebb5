//! An address of a database or a cache: it may carry a password, and never shows it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// An address whose password is kept apart.
#[derive(Clone)]
pub struct Address {
    without_password: Url,
    password: Option<SecretString>,
}

impl Address {
    /// Reads an address; `schemes` are those that make sense here.
    ///
    /// - **Errors:** what would be right, in words that follow "expected".
    pub fn parse(text: &str, schemes: &[&str]) -> Result<Self, String> {
        let expected = || {
            let schemes: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
            format!("an address that begins with {}", schemes.join(" or "))
        };
        let mut url = Url::parse(text).map_err(|_| expected())?;
        if !schemes.contains(&url.scheme()) {
            return Err(expected());
        }
        let password = url.password().map(|password| {
            let decoded = percent_decoded(password);
            SecretString::from(decoded)
        });
        // An address without a host cannot have carried a password either.
        let _ = url.set_password(None);
        Ok(Self { without_password: url, password })
    }

    /// The same address with this password instead of its own.
    #[must_use]
    pub fn with_password(mut self, password: SecretString) -> Self {
        self.password = Some(password);
        self
    }

    /// Whether a password came with it.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The password, to hand to who connects.
    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_ref()
    }

    /// The address without its password.
    pub fn url(&self) -> &Url {
        &self.without_password
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.without_password.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.without_password)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        let secret =
            |address: &Self| address.password.as_ref().map(|password| password.expose_secret().to_owned());
        self.without_password == other.without_password && secret(self) == secret(other)
    }
}

impl Eq for Address {}

/// `%41` → `A`; anything that is not an escape stays.
fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("p={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_used_and_never_shown() {
        let address = Address::parse("postgres://shop:p%40ss+word@db/shop", &["postgres"]).unwrap();
        assert_eq!(address.password().unwrap().expose_secret(), "p@ss+word");
        assert_eq!(address.to_string(), "postgres://shop@db/shop");
        assert!(!format!("{address:?}").contains("ss+word"));
    }

    #[test]
    fn another_kind_of_address_is_refused_with_what_would_be_right() {
        let expected = Address::parse("mysql://db/shop", &["postgres", "postgresql"]).unwrap_err();
        assert_eq!(expected, "an address that begins with postgres:// or postgresql://");
    }
}
