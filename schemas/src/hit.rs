//! What the edge saw: the record that a redirect copies into its lane before it answers.
//!
//! It carries only what the edge already holds; nothing is looked up or parsed for it. The recorder refines
//! it once into a [`Click`](crate::click::Click) and zeroes its bytes, so the visitor's address never reaches
//! the journal.
//!
//! Bytes (version 1), written with [`wire`](crate::wire): version u8 · verdict u8 · flags u8 · status u16 ·
//! at u64 · latency_us u32 · workspace u32 · link u64 · program u64 · partner u64 · visitor u64 · network 16 bytes ·
//! then texts: domain, slug, variant, user agent, referrer, language, query, link utm.

use crate::click::Verdict;
use crate::ids::{LinkId, PartnerId, ProgramId, WorkspaceId};
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer};

/// The version that [`RawHit::write`] writes.
pub const HIT_VERSION: u8 = 1;
/// Longest user agent kept, in bytes (browsers stay below 300).
pub const USER_AGENT_MAX: usize = 512;
/// Longest referrer kept, in bytes.
pub const REFERRER_MAX: usize = 512;
/// Longest query string of a visit kept, in bytes.
pub const QUERY_MAX: usize = 1_024;
/// Longest `Accept-Language` kept, in bytes.
pub const LANGUAGE_MAX: usize = 64;
/// Longest slug or domain kept, in bytes.
pub const NAME_MAX: usize = 255;
/// The largest encoded hit: the fixed part and every text at its bound.
pub const HIT_BYTES_MAX: usize =
    69 + 8 * 2 + 3 * NAME_MAX + USER_AGENT_MAX + REFERRER_MAX + LANGUAGE_MAX + 2 * QUERY_MAX;

/// The visit arrived with `Sec-Purpose: prefetch` (or its older names).
pub const FLAG_PREFETCH: u8 = 1;
/// The visit was a `HEAD`.
pub const FLAG_HEAD: u8 = 2;
/// The visitor brought the cookie `wv`.
pub const FLAG_RETURNING: u8 = 4;
/// The visit took a place under the link's caps before it was answered.
pub const FLAG_PLACE: u8 = 8;
/// And one of the link's day.
pub const FLAG_DAY: u8 = 16;

/// One hit as the edge saw it. Texts are borrowed from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawHit<'a> {
    /// When the request was read.
    pub at: Timestamp,
    /// What the edge decided; the recorder may still turn `Counted` into `Bot`.
    pub verdict: Verdict,
    /// `FLAG_*`.
    pub flags: u8,
    /// The status answered.
    pub status: u16,
    /// From when the first request that was read with it was read to here, in microseconds.
    pub latency_us: u32,
    /// The tenant; the domain's owner for an orphan.
    pub workspace: WorkspaceId,
    /// [`LinkId::NONE`] for an orphan.
    pub link: LinkId,
    /// The link's program, if any.
    pub program: ProgramId,
    /// The link's partner, if any.
    pub partner: PartnerId,
    /// The visitor (see api.md: cookie `wv`, else the keyed hash that the cookie is set to).
    pub visitor: u64,
    /// The visitor's address as IPv6 (IPv4 mapped), for the network facts; gone after refining.
    pub address: [u8; 16],
    /// The host the visitor asked, without port.
    pub domain: &'a str,
    /// The slug asked for.
    pub slug: &'a str,
    /// The name of the variant chosen, if any.
    pub variant: &'a str,
    /// `User-Agent`.
    pub user_agent: &'a str,
    /// `Referer`.
    pub referrer: &'a str,
    /// `Accept-Language`.
    pub language: &'a str,
    /// The visit's query string, without `?`.
    pub query: &'a str,
    /// The link's own UTM values in query-string form, used where the visit brings none.
    pub link_utm: &'a str,
}

impl<'a> RawHit<'a> {
    /// Appends the hit's bytes to `buffer`; at most [`HIT_BYTES_MAX`], longer texts are cut.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        let mut w = Writer::new(buffer);
        w.u8(HIT_VERSION);
        w.u8(self.verdict as u8);
        w.u8(self.flags);
        w.u16(self.status);
        w.u64(self.at.0 as u64);
        w.u32(self.latency_us);
        w.u32(self.workspace.0);
        w.u64(self.link.0);
        w.u64(self.program.0);
        w.u64(self.partner.0);
        w.u64(self.visitor);
        w.raw(&self.address);
        w.text(self.domain, NAME_MAX);
        w.text(self.slug, NAME_MAX);
        w.text(self.variant, NAME_MAX);
        w.text(self.user_agent, USER_AGENT_MAX);
        w.text(self.referrer, REFERRER_MAX);
        w.text(self.language, LANGUAGE_MAX);
        w.text(self.query, QUERY_MAX);
        w.text(self.link_utm, QUERY_MAX);
    }

    /// Reads a hit back.
    pub fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        if r.u8()? != HIT_VERSION {
            return Err(WireError::Unknown("hit version"));
        }
        let verdict = Verdict::from_u8(r.u8()?).ok_or(WireError::Unknown("verdict"))?;
        let without_texts = Self {
            verdict,
            flags: r.u8()?,
            status: r.u16()?,
            at: Timestamp(r.u64()? as i64),
            latency_us: r.u32()?,
            workspace: WorkspaceId(r.u32()?),
            link: LinkId(r.u64()?),
            program: ProgramId(r.u64()?),
            partner: PartnerId(r.u64()?),
            visitor: r.u64()?,
            address: r.raw(16)?.try_into().expect("raw gives exactly what was asked for"),
            domain: "",
            slug: "",
            variant: "",
            user_agent: "",
            referrer: "",
            language: "",
            query: "",
            link_utm: "",
        };
        let [domain, slug, variant, user_agent, referrer, language, query, link_utm] = r.texts()?;
        Ok(Self { domain, slug, variant, user_agent, referrer, language, query, link_utm, ..without_texts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit<'a>(text: &'a str) -> RawHit<'a> {
        RawHit {
            at: Timestamp(1_793_491_200_007),
            verdict: Verdict::Counted,
            flags: FLAG_RETURNING,
            status: 302,
            latency_us: 12,
            workspace: WorkspaceId(1),
            link: LinkId(5),
            program: ProgramId::NONE,
            partner: PartnerId(9),
            visitor: u64::MAX,
            address: [7; 16],
            domain: text,
            slug: text,
            variant: text,
            user_agent: text,
            referrer: text,
            language: text,
            query: text,
            link_utm: text,
        }
    }

    #[test]
    fn a_hit_comes_back_as_it_was() {
        let mut bytes = Vec::new();
        hit("añb").write(&mut bytes);
        assert_eq!(RawHit::read(&bytes), Ok(hit("añb")));
        for end in 0..bytes.len() {
            assert!(RawHit::read(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn the_largest_hit_keeps_its_bound() {
        let long = "x".repeat(5_000);
        let mut bytes = Vec::new();
        hit(&long).write(&mut bytes);
        assert!(bytes.len() <= HIT_BYTES_MAX, "{}", bytes.len());
        assert!(RawHit::read(&bytes).is_ok());
    }
}
