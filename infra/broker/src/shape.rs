//! The form of every request that is offered, walked over before it is decoded.
//!
//! The decoder allocates what an array's length announces, so that a request of 20 bytes could ask for 200 GB. Here
//! every length is compared with what the frame holds, and nothing is allocated.
//!
//! A form is a line of fields: `b` 1 byte, `h` 2, `i` 4, `l` 8, `u` 16, `s` a string, `y` bytes, `<x` an array of fields
//! `x`, `[…]` an array of structures. `@5` means since version 5, `@-7` until 7, `@7-12` from 7 to 12.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ApiKey;

use crate::limits::REQUEST_ELEMENTS_MAX;

/// The form of an API's requests.
#[derive(Debug, Clone, Copy)]
struct Form {
    api: ApiKey,
    /// From this version on lengths are varints and structures end with tagged fields.
    flexible: i16,
    fields: &'static str,
}

const fn form(api: ApiKey, flexible: i16, fields: &'static str) -> Form {
    Form { api, flexible, fields }
}

const NEVER: i16 = i16::MAX;

const FORMS: &[Form] = &[
    form(ApiKey::Produce, 9, "s h i [s@-12 u@13 [i y]]"),
    form(ApiKey::Fetch, 12, "i@-14 i i i b i@7 i@7 [s@-12 u@13 [i i@9 l i@12 l@5 i]] [s@-12 u@13 <i]@7 s@11"),
    form(ApiKey::ListOffsets, 6, "i b@2 [s [i i@4 l]] i@10"),
    form(ApiKey::Metadata, 9, "[u@10 s] b@4 b@8-10 b@8"),
    form(ApiKey::OffsetCommit, 8, "s i s s@7 l@2-4 [s [i l i@6 s]]"),
    form(ApiKey::OffsetFetch, 6, "s@-7 [s <i]@-7 [s s@9 i@9 [s <i]]@8 b@7"),
    form(ApiKey::FindCoordinator, 3, "s@-3 b@1 <s@4"),
    form(ApiKey::JoinGroup, 6, "s i i@1 s s@5 s [s y] s@8"),
    form(ApiKey::Heartbeat, 4, "s i s s@3"),
    form(ApiKey::LeaveGroup, 4, "s s@-2 [s s s@5]@3"),
    form(ApiKey::SyncGroup, 4, "s i s s@3 s@5 s@5 [s y]"),
    form(ApiKey::DescribeGroups, 5, "<s b@3"),
    form(ApiKey::ListGroups, 3, "<s@4 <s@5"),
    form(ApiKey::SaslHandshake, NEVER, "s"),
    form(ApiKey::ApiVersions, 3, "s@3 s@3"),
    form(ApiKey::CreateTopics, 5, "[s i h [i <i] [s s]] i b"),
    form(ApiKey::DeleteTopics, 4, "[s u]@6 <s@-5 i"),
    form(ApiKey::DeleteRecords, 2, "[s [i l]] i"),
    form(ApiKey::InitProducerId, 2, "s i l@3 h@3"),
    form(ApiKey::OffsetForLeaderEpoch, 4, "i@3 [s [i i i]]"),
    form(ApiKey::DescribeConfigs, 4, "[b s <s] b b@3"),
    form(ApiKey::AlterConfigs, 2, "[b s [s s]] b"),
    form(ApiKey::DescribeLogDirs, 2, "[s <i]"),
    form(ApiKey::SaslAuthenticate, 2, "y"),
    form(ApiKey::CreatePartitions, 2, "[s i [<i]] i b"),
    form(ApiKey::DeleteGroups, 2, "<s"),
    form(ApiKey::IncrementalAlterConfigs, 1, "[b s [s b s]] b"),
    form(ApiKey::OffsetDelete, NEVER, "s [s [i]]"),
    form(ApiKey::DescribeCluster, 0, "b b@1 b@2"),
    form(ApiKey::DescribeProducers, 0, "[s <i]"),
];

/// librdkafka 2.12 leaves three bytes behind the fields when it asks for all topics; Apache Kafka reads over them, too.
const METADATA_STRAY_BYTES_MAX: usize = 3;

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misshapen {
    /// A field or an announced length goes beyond the end.
    #[error("it ends in the middle of a field")]
    Short,
    /// Something follows the last field.
    #[error("{0} bytes follow its last field")]
    Long(usize),
    /// A length that cannot be one.
    #[error("a length is negative or too large")]
    Length,
    /// More than any client has use for.
    #[error("it has more than {REQUEST_ELEMENTS_MAX} elements")]
    Elements,
    /// Nobody wrote the form down.
    #[error("its form is not known")]
    Unknown,
}

/// Takes the header off a frame; answers the client's name for itself.
pub fn check_header(frame: &mut Bytes, header_version: i16) -> Result<String, Misshapen> {
    let mut walk = Walk { rest: frame, flexible: false, version: 0, elements: 0 };
    walk.skip(8)?;
    let before = walk.rest;
    walk.text()?;
    let name = &before[..before.len() - walk.rest.len()];
    let name = String::from_utf8_lossy(name.get(2..).unwrap_or_default()).into_owned();
    if header_version >= 2 {
        walk.tags()?;
    }
    let taken = frame.len() - walk.rest.len();
    frame.advance(taken);
    Ok(name)
}

/// Checks the body of a request.
pub fn check(api: ApiKey, version: i16, body: &[u8]) -> Result<(), Misshapen> {
    let form = FORMS.iter().find(|f| f.api == api).ok_or(Misshapen::Unknown)?;
    let mut walk = Walk { rest: body, flexible: version >= form.flexible, version, elements: 0 };
    walk.structure(form.fields)?;
    match walk.rest.len() {
        0 => Ok(()),
        1..=METADATA_STRAY_BYTES_MAX if api == ApiKey::Metadata && walk.flexible => Ok(()),
        more => Err(Misshapen::Long(more)),
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    flexible: bool,
    version: i16,
    elements: usize,
}

impl Walk<'_> {
    fn skip(&mut self, n: usize) -> Result<(), Misshapen> {
        self.rest = self.rest.get(n..).ok_or(Misshapen::Short)?;
        Ok(())
    }

    fn int<const N: usize>(&mut self) -> Result<[u8; N], Misshapen> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Misshapen::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    fn varint(&mut self) -> Result<u32, Misshapen> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.int::<1>()?;
            if shift == 28 && byte > 0x0f {
                return Err(Misshapen::Length);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Misshapen::Length)
    }

    /// A length; none for null.
    fn length(&mut self, wide: bool) -> Result<Option<usize>, Misshapen> {
        if self.flexible {
            return Ok(self.varint()?.checked_sub(1).map(|n| n as usize));
        }
        let n = if wide { i32::from_be_bytes(self.int()?) } else { i32::from(i16::from_be_bytes(self.int()?)) };
        match n {
            -1 => Ok(None),
            n => usize::try_from(n).map(Some).map_err(|_| Misshapen::Length),
        }
    }

    fn text(&mut self) -> Result<(), Misshapen> {
        let n = self.length(false)?.unwrap_or(0);
        self.skip(n)
    }

    fn tags(&mut self) -> Result<(), Misshapen> {
        let n = self.varint()?;
        for _ in 0..n {
            self.count(1)?;
            self.varint()?;
            let size = self.varint()? as usize;
            self.skip(size)?;
        }
        Ok(())
    }

    fn count(&mut self, n: usize) -> Result<(), Misshapen> {
        self.elements = self.elements.saturating_add(n);
        if self.elements > REQUEST_ELEMENTS_MAX { Err(Misshapen::Elements) } else { Ok(()) }
    }

    fn structure(&mut self, fields: &str) -> Result<(), Misshapen> {
        let mut fields = fields.trim();
        while !fields.is_empty() {
            let (field, versions, rest) = next_field(fields);
            fields = rest.trim_start();
            if versions.0 <= self.version && self.version <= versions.1 {
                self.field(field)?;
            }
        }
        if self.flexible { self.tags() } else { Ok(()) }
    }

    fn field(&mut self, field: &str) -> Result<(), Misshapen> {
        match field.as_bytes()[0] {
            b'b' => self.skip(1),
            b'h' => self.skip(2),
            b'i' => self.skip(4),
            b'l' => self.skip(8),
            b'u' => self.skip(16),
            b's' => self.text(),
            b'y' => {
                let n = self.length(true)?.unwrap_or(0);
                self.skip(n)
            }
            kind => {
                let n = self.length(true)?.unwrap_or(0);
                // The smallest element has one byte.
                if n > self.rest.len() {
                    return Err(Misshapen::Short);
                }
                self.count(n)?;
                for _ in 0..n {
                    if kind == b'[' {
                        self.structure(&field[1..field.len() - 1])?;
                    } else {
                        self.field(&field[1..])?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The first field, its versions, and what follows.
fn next_field(fields: &str) -> (&str, (i16, i16), &str) {
    let mut depth = 0usize;
    let mut end = fields.len();
    for (at, c) in fields.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ' ' if depth == 0 => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    let (word, rest) = fields.split_at(end);
    let after = word.rfind(']').map_or(0, |at| at + 1);
    let Some(at) = word[after..].find('@').map(|at| after + at) else { return (word, (0, i16::MAX), rest) };
    let (field, versions) = (&word[..at], &word[at + 1..]);
    let number = |s: &str, other: i16| s.parse().unwrap_or(other);
    let versions = match versions.split_once('-') {
        Some((min, max)) => (number(min, 0), number(max, i16::MAX)),
        None => (number(versions, 0), i16::MAX),
    };
    (field, versions, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OFFERS;

    #[test]
    fn every_offer_has_a_form_that_can_be_read() {
        for offer in OFFERS {
            assert!(FORMS.iter().any(|f| f.api == offer.key), "{:?}", offer.key);
            for version in offer.min..=offer.max {
                // Zeros are empty strings and arrays in every form; the walk must get to an end.
                let told = check(offer.key, version, &[0; 256]);
                assert!(matches!(told, Err(Misshapen::Long(_))), "{:?} {version}: {told:?}", offer.key);
            }
        }
    }

    #[test]
    fn a_huge_array_in_a_small_frame_is_refused() {
        let mut body = i32::MAX.to_be_bytes().to_vec();
        body.extend([0; 40]);
        assert_eq!(check(ApiKey::Metadata, 1, &body), Err(Misshapen::Short));
        assert_eq!(check(ApiKey::Metadata, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]), Err(Misshapen::Short));
    }

    #[test]
    fn the_stray_bytes_of_librdkafka_are_read_over_and_no_others() {
        // All topics, none made, no operations, no tags; then what librdkafka leaves behind.
        let asked = |stray: usize| [&[0, 0, 0, 0][..], &vec![0; stray]].concat();
        assert_eq!(check(ApiKey::Metadata, 12, &asked(3)), Ok(()));
        assert_eq!(check(ApiKey::Metadata, 12, &asked(4)), Err(Misshapen::Long(4)));
        assert!(check(ApiKey::DescribeCluster, 0, &[0, 0, 0]).is_err());
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(next_field("[s@-12 <i]@7-9 s"), ("[s@-12 <i]", (7, 9), " s"));
        assert_eq!(next_field("s@-3"), ("s", (0, 3), ""));
        assert_eq!(next_field("<s@4 b"), ("<s", (4, i16::MAX), " b"));
        assert_eq!(next_field("[s [i y]] b"), ("[s [i y]]", (0, i16::MAX), " b"));
    }
}
