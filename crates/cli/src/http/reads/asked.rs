//! What a request asks for behind its question mark. What is not known is refused: a misspelt filter would show the
//! whole catalogue.

use chrono::TimeDelta;
use shadow::RecordId;

use super::problem::Refusal;

/// The parameters that nobody has taken yet.
pub struct Asked(Vec<(String, String)>);

impl Asked {
    /// Reads a query.
    ///
    /// - **Errors:** percent-encoding that is not UTF-8.
    pub fn read(query: Option<&str>) -> Result<Self, Refusal> {
        let mut pairs = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            // What cannot be decoded arrives as this character, and would be looked for as it.
            if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
                return Err(Refusal::malformed("query", "it is not percent-encoded UTF-8"));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// Every value of a parameter.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(known, _)| known == name);
        self.0 = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// A parameter that may be given once.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let mut values = self.texts(name);
        if values.len() > 1 {
            return Err(Refusal::malformed(name, "it is given more than once"));
        }
        match values.pop() {
            Some(value) if value.contains('\0') => Err(Refusal::malformed(name, "it holds a NUL character")),
            value => Ok(value),
        }
    }

    /// A record id.
    pub fn id(&mut self, name: &str) -> Result<Option<RecordId>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let id = RecordId::parse(&text)
            .map_err(|_| Refusal::malformed(name, "it is not a record id of 15 or 18 letters and digits"))?;
        Ok(Some(id))
    }

    /// A whole number between two others.
    pub fn number(&mut self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = Some(&text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|text| text.parse::<u32>().ok());
        let fits = number.filter(|number| (least..=most).contains(number));
        fits.map(Some).ok_or_else(|| {
            Refusal::malformed(name, &format!("it is not a whole number from {least} to {most}"))
        })
    }

    /// How old the answer may be, in seconds.
    pub fn max_age(&mut self) -> Result<Option<TimeDelta>, Refusal> {
        let seconds = self.number("max_age", 0, 31_536_000)?;
        Ok(seconds.map(|seconds| TimeDelta::seconds(i64::from(seconds))))
    }

    /// Refuses what nobody took.
    pub fn nothing_else(&self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let shown: String = name.chars().take(60).collect();
                Err(Refusal::malformed(&shown, "it is not a parameter of this path"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_once_and_what_is_left_is_refused() {
        let mut asked = Asked::read(Some("sku=A&sku=B%20C&limit=10&max_age=60")).unwrap();
        assert_eq!(asked.texts("sku"), ["A", "B C"]);
        assert_eq!(asked.number("limit", 1, 1_000).unwrap(), Some(10));
        assert_eq!(asked.max_age().unwrap(), Some(TimeDelta::minutes(1)));
        assert!(asked.nothing_else().is_ok());
        let mut asked = Asked::read(Some("item_clas=x&limit=01x")).unwrap();
        assert!(asked.number("limit", 1, 1_000).is_err());
        assert!(asked.nothing_else().is_err());
        assert!(Asked::read(Some("sku=%ff")).is_err());
        for wrong in ["limit=0", "limit=1001", "limit=-1", "limit=", "limit=1&limit=2"] {
            assert!(Asked::read(Some(wrong)).unwrap().number("limit", 1, 1_000).is_err(), "{wrong}");
        }
    }
}
