//! The click: a hit with all that is known of it, as the journal keeps it and every follower sees it.
//!
//! Bytes (version 2): version u8 · verdict u8 · flags u8 · bot u8 · device u8 · status u16 · id u128 · at u64 ·
//! latency_us u32 · workspace u32 · link u64 · program u64 · partner u64 · visitor u64 · network u64 · asn
//! u32 · then the texts of [`Dims`] in their order, then slug, then evidence. Version 1 had neither
//! `signal`, the last of the dimensions, nor evidence.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::hit::NAME_MAX;
use crate::ids::{ClickId, LinkId, PartnerId, ProgramId, WorkspaceId};
use crate::signal::EVIDENCE_MAX;
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer};

mod dims;

pub use dims::{DIMS, Dims};

/// The version that [`Click::write`] writes.
pub const CLICK_VERSION: u8 = 2;
const BEFORE_SIGNALS: u8 = 1;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant = $number),+
        }

        impl $name {
            /// Every value, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in the API and the warehouse.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of a stored number.
            pub const fn from_u8(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// The value of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }
    };
}

pub(crate) use names;

names! {
    /// What became of a hit. Exactly one per hit; only `Counted` is a click.
    Verdict {
        /// A click.
        Counted = 0 "counted",
        /// A robot: answered and kept, not counted.
        Bot = 1 "bot",
        /// A browser's prefetch.
        Prefetch = 2 "prefetch",
        /// A `HEAD` request.
        Head = 3 "head",
        /// The same visitor and link again within the link's window.
        Duplicate = 4 "duplicate",
        /// Stopped at the password form.
        Password = 5 "password",
        /// The link's cap was used up.
        Capped = 6 "capped",
        /// Outside the link's schedule.
        Expired = 7 "expired",
        /// The link is switched off.
        Disabled = 8 "disabled",
        /// No such link.
        Orphan = 9 "orphan",
        /// Refused by a rule or the blocklist.
        Blocked = 10 "blocked",
    }
}

names! {
    /// The kind of device, from the user agent.
    Device {
        /// Not recognised.
        Unknown = 0 "unknown",
        /// A computer.
        Desktop = 1 "desktop",
        /// A phone.
        Mobile = 2 "mobile",
        /// A tablet.
        Tablet = 3 "tablet",
        /// A television or a box beside one.
        Tv = 4 "tv",
        /// A console, a watch, a car, a speaker.
        Other = 5 "other",
        /// A robot.
        Bot = 6 "bot",
    }
}

/// One refined hit. Texts are borrowed from the journal's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click<'a> {
    /// The click's identity, also inside its token.
    pub id: ClickId,
    /// When the request was read.
    pub at: Timestamp,
    /// What became of it.
    pub verdict: Verdict,
    /// A robot by its user agent, whatever the verdict.
    pub bot: bool,
    /// `FLAG_*` of [`hit`](crate::hit).
    pub flags: u8,
    /// The status answered.
    pub status: u16,
    /// From the parsed request to the record, in microseconds.
    pub latency_us: u32,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// [`LinkId::NONE`] for an orphan.
    pub link: LinkId,
    /// The link's program at the time.
    pub program: ProgramId,
    /// The link's partner at the time.
    pub partner: PartnerId,
    /// The visitor.
    pub visitor: u64,
    /// Hash of the visitor's address, keyed with a salt of the day that is deleted.
    pub network: u64,
    /// Number of the autonomous system, 0 when unknown.
    pub asn: u32,
    /// All that queries group and filter by.
    pub dims: Dims<'a>,
    /// The slug asked for.
    pub slug: Cow<'a, str>,
    /// By what its signals were noticed, in words.
    pub evidence: Cow<'a, str>,
}

impl<'a> Click<'a> {
    /// Appends the click's bytes to `buffer`.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        let mut w = Writer::new(buffer);
        w.u8(CLICK_VERSION);
        w.u8(self.verdict as u8);
        w.u8(self.flags);
        w.u8(u8::from(self.bot));
        w.u16(self.status);
        w.u128(self.id.0);
        w.u64(self.at.0 as u64);
        w.u32(self.latency_us);
        w.u32(self.workspace.0);
        w.u64(self.link.0);
        w.u64(self.program.0);
        w.u64(self.partner.0);
        w.u64(self.visitor);
        w.u64(self.network);
        w.u32(self.asn);
        for text in self.dims.texts() {
            w.text(text, NAME_MAX);
        }
        w.text(&self.slug, NAME_MAX);
        w.text(&self.evidence, EVIDENCE_MAX);
    }

    /// Reads a click back; its texts borrow from `bytes`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let ClickParts { head, dims, slug, evidence } = ClickParts::read(bytes)?;
        let ClickHead {
            id,
            at,
            verdict,
            bot,
            flags,
            status,
            latency_us,
            workspace,
            link,
            program,
            partner,
            visitor,
            network,
            asn,
        } = head;
        Ok(Self {
            id,
            at,
            verdict,
            bot,
            flags,
            status,
            latency_us,
            workspace,
            link,
            program,
            partner,
            visitor,
            network,
            asn,
            dims: Dims::from_texts(dims),
            slug: slug.into(),
            evidence: evidence.into(),
        })
    }

    /// The same in parts.
    pub fn parts(&self) -> ClickParts<'_> {
        ClickParts {
            head: ClickHead {
                id: self.id,
                at: self.at,
                verdict: self.verdict,
                bot: self.bot,
                flags: self.flags,
                status: self.status,
                latency_us: self.latency_us,
                workspace: self.workspace,
                link: self.link,
                program: self.program,
                partner: self.partner,
                visitor: self.visitor,
                network: self.network,
                asn: self.asn,
            },
            dims: self.dims.texts(),
            slug: &self.slug,
            evidence: &self.evidence,
        }
    }
}

/// A click with its texts in a row, for who only copies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClickParts<'a> {
    /// All but the texts.
    pub head: ClickHead,
    /// Those of [`Dims::texts`].
    pub dims: [&'a str; DIMS],
    /// [`Click::slug`].
    pub slug: &'a str,
    /// [`Click::evidence`].
    pub evidence: &'a str,
}

impl<'a> ClickParts<'a> {
    /// Reads a click back; its texts borrow from `bytes`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        let head = ClickHead::read_from(&mut r)?;
        if bytes.first() == Some(&BEFORE_SIGNALS) {
            let mut dims = [""; DIMS];
            dims[..DIMS - 1].copy_from_slice(&r.texts::<{ DIMS - 1 }>()?);
            return Ok(Self { head, dims, slug: r.text()?, evidence: "" });
        }
        let [dims @ .., slug, evidence] = r.texts::<{ DIMS + 2 }>()?;
        Ok(Self { head, dims, slug, evidence })
    }
}

/// Bytes of a click behind its version and before its texts.
const HEAD_BYTES: usize = 81;

/// A click without its texts, for who only counts: reading it costs a tenth of [`Click::read`]. The fields are those of
/// [`Click`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Click`")]
pub struct ClickHead {
    pub id: ClickId,
    pub at: Timestamp,
    pub verdict: Verdict,
    pub bot: bool,
    pub flags: u8,
    pub status: u16,
    pub latency_us: u32,
    pub workspace: WorkspaceId,
    pub link: LinkId,
    pub program: ProgramId,
    pub partner: PartnerId,
    pub visitor: u64,
    pub network: u64,
    pub asn: u32,
}

impl ClickHead {
    /// Reads the beginning of a click's bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        Self::read_from(&mut Reader::new(bytes))
    }

    fn read_from(r: &mut Reader<'_>) -> Result<Self, WireError> {
        if ![BEFORE_SIGNALS, CLICK_VERSION].contains(&r.u8()?) {
            return Err(WireError::Unknown("click version"));
        }
        // One look whether all of it is there, instead of one for each field.
        let head: &[u8; HEAD_BYTES] = r.raw(HEAD_BYTES)?.try_into().expect("raw gives what was asked for");
        let r = &mut Reader::new(head);
        Ok(Self {
            verdict: Verdict::from_u8(r.u8()?).ok_or(WireError::Unknown("verdict"))?,
            flags: r.u8()?,
            bot: r.u8()? != 0,
            status: r.u16()?,
            id: ClickId(r.u128()?),
            at: Timestamp(r.u64()? as i64),
            latency_us: r.u32()?,
            workspace: WorkspaceId(r.u32()?),
            link: LinkId(r.u64()?),
            program: ProgramId(r.u64()?),
            partner: PartnerId(r.u64()?),
            visitor: r.u64()?,
            network: r.u64()?,
            asn: r.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_comes_back_as_it_was() {
        let mut names: Vec<String> = (0..DIMS).map(|n| format!("text {n}")).collect();
        names[3] = "é".repeat(9);
        let texts: Vec<&str> = names.iter().map(String::as_str).collect();
        let click = Click {
            id: ClickId::new(1_793_491_200_007, 1, 2, 3),
            at: Timestamp(1_793_491_200_007),
            verdict: Verdict::Bot,
            bot: true,
            flags: 5,
            status: 302,
            latency_us: 17,
            workspace: WorkspaceId(1),
            link: LinkId(2),
            program: ProgramId(3),
            partner: PartnerId(4),
            visitor: 5,
            network: 6,
            asn: 7,
            dims: Dims::from_texts(texts.try_into().unwrap()),
            slug: "spring".into(),
            evidence: "AS1".into(),
        };
        let mut bytes = Vec::new();
        click.write(&mut bytes);
        assert_eq!(Click::read(&bytes), Ok(click.clone()));
        assert_eq!(click.dims.clone().into_owned().texts(), click.dims.texts());
        for end in 0..bytes.len() {
            assert!(Click::read(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_click_from_before_the_signals_is_still_read() {
        let id = ClickId::new(1_793_491_200_007, 1, 2, 3);
        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend_from_slice(&302_u16.to_le_bytes());
        bytes.extend_from_slice(&id.0.to_le_bytes());
        bytes.extend_from_slice(&[0; 8 + 4 + 4 + 8 * 5 + 4]);
        let mut writer = Writer::new(&mut bytes);
        (0..17).for_each(|n| writer.text(&format!("text {n}"), NAME_MAX));
        writer.text("spring", NAME_MAX);
        let click = Click::read(&bytes).unwrap();
        assert_eq!((click.id, &*click.dims.language, &*click.slug), (id, "text 16", "spring"));
        assert_eq!((&*click.dims.signal, &*click.evidence), ("", ""));
    }

    #[test]
    fn names_and_numbers_agree() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_u8(*verdict as u8), Some(*verdict));
            assert_eq!(Verdict::from_name(verdict.as_str()), Some(*verdict));
        }
        assert_eq!(Verdict::from_u8(200), None);
    }
}
