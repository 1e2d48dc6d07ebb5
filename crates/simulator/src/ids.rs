//! Record ids: 15 case-sensitive characters and a checksum of three.

use std::fmt;

/// The first six characters of every simulated org's id.
///
/// - **Shape:** `00D` is the key prefix of every Salesforce org; `SIM` stands where a real org's id names its
///   instance. No real org is known to have it, so a client can refuse demo data wherever it does not belong.
/// - **Source:** chosen here; the rest of the id follows from the seed and the data.
pub const SIMULATED_ORG_PREFIX: &str = "00DSIM";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
/// The characters after the key prefix of every generated record id: instance and a reserved zero.
const INSTANCE: &[u8; 3] = b"SM0";
/// Generated ids do not start at zero, so that they look like those of an org that has lived.
const FIRST_NUMBER: u64 = 62 * 62 * 62 * 62 + 4_711;
/// Inserted records are numbered from here, after everything that a catalogue can hold.
const FIRST_INSERTED: u64 = 62 * 62 * 62 * 62 * 62 * 62;

/// A record id with its checksum: 18 ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 18]);

impl RecordId {
    /// The id that stands for none.
    pub(crate) const EMPTY: &str = "000000000000000AAA";

    /// Reads an id of 15 or 18 characters; the checksum of a longer one is computed anew.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let well_formed = matches!(bytes.len(), 15 | 18) && bytes.iter().all(u8::is_ascii_alphanumeric);
        let head: [u8; 15] = bytes.get(..15)?.try_into().ok()?;
        well_formed.then(|| Self::with_checksum(head))
    }

    /// The id of the generated record with this index.
    pub(crate) fn generated(key_prefix: [u8; 3], index: u64) -> Self {
        Self::numbered(key_prefix, FIRST_NUMBER + index)
    }

    /// The id of the record that was inserted after the start, counted from zero.
    pub(crate) fn inserted(key_prefix: [u8; 3], count: u64) -> Self {
        Self::numbered(key_prefix, FIRST_INSERTED + count)
    }

    /// The id of a simulated org: the reserved prefix, and nine characters from `number`.
    pub(crate) fn org(number: u64) -> Self {
        let mut head = [b'0'; 15];
        head[..6].copy_from_slice(SIMULATED_ORG_PREFIX.as_bytes());
        write_base62(&mut head[6..], number);
        Self::with_checksum(head)
    }

    /// The index behind a generated id, if it is one.
    pub(crate) fn generated_index(&self, key_prefix: [u8; 3]) -> Option<u64> {
        if self.0[..3] != key_prefix || &self.0[3..6] != INSTANCE {
            return None;
        }
        let mut number = 0_u64;
        for &byte in &self.0[6..15] {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'A'..=b'Z' => byte - b'A' + 10,
                _ => byte - b'a' + 36,
            };
            number = number * 62 + u64::from(digit);
        }
        number.checked_sub(FIRST_NUMBER)
    }

    /// Reports whether this is the "empty" id that exports write for a missing reference.
    pub(crate) fn is_empty(&self) -> bool {
        self.0[..15].iter().all(|&byte| byte == b'0')
    }

    /// The 18 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is built from ASCII only")
    }

    /// The first 15 characters, as access tokens carry them.
    pub fn short(&self) -> &str {
        &self.as_str()[..15]
    }

    /// The 18 characters as bytes.
    pub(crate) fn as_bytes(&self) -> &[u8; 18] {
        &self.0
    }

    fn numbered(key_prefix: [u8; 3], number: u64) -> Self {
        let mut head = [b'0'; 15];
        head[..3].copy_from_slice(&key_prefix);
        head[3..6].copy_from_slice(INSTANCE);
        write_base62(&mut head[6..], number);
        Self::with_checksum(head)
    }

    fn with_checksum(head: [u8; 15]) -> Self {
        let mut id = [0; 18];
        id[..15].copy_from_slice(&head);
        for (group, letters) in head.chunks(5).enumerate() {
            let mut bits = 0_usize;
            for (place, letter) in letters.iter().enumerate() {
                bits |= usize::from(letter.is_ascii_uppercase()) << place;
            }
            id[15 + group] = CHECKSUM[bits];
        }
        Self(id)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn write_base62(place: &mut [u8], mut number: u64) {
    for byte in place.iter_mut().rev() {
        *byte = DIGITS[(number % 62) as usize];
        number /= 62;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_real_ids() {
        for real in [
            "001D000000KnaXjIAJ",
            "003RO0000035WQgYAM",
            "0015f00002JUWMVAA5",
            "00D58000000arpqEAA",
            "0014H00002LbR7QQAV",
        ] {
            assert_eq!(RecordId::parse(&real[..15]).unwrap().as_str(), real);
        }
        assert_eq!(RecordId::parse("000000000000000").unwrap().as_str(), "000000000000000AAA");
    }

    #[test]
    fn generated_ids_sort_as_their_indexes_and_lead_back_to_them() {
        let mut last = RecordId::generated(*b"01t", 0);
        for index in 1..5_000 {
            let id = RecordId::generated(*b"01t", index);
            assert!(last < id);
            assert_eq!(id.generated_index(*b"01t"), Some(index));
            assert_eq!(id.generated_index(*b"01u"), None);
            last = id;
        }
        assert!(last < RecordId::inserted(*b"01t", 0));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "01t", "01tSM0000000001AA", "01tSM000000000-", "01tSM0000000001AAAA"] {
            assert_eq!(RecordId::parse(text), None, "{text}");
        }
    }
}
