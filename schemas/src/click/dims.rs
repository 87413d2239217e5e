//! What queries group and filter clicks by.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The dimensions of a click that a conversion inherits. Unknown texts are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dims<'a> {
    /// The host asked, without port.
    pub domain: Cow<'a, str>,
    /// The variant chosen.
    pub variant: Cow<'a, str>,
    /// ISO 3166-1 alpha-2.
    pub country: Cow<'a, str>,
    /// Region's name.
    pub region: Cow<'a, str>,
    /// City's name.
    pub city: Cow<'a, str>,
    /// Two letters: AF AN AS EU NA OC SA.
    pub continent: Cow<'a, str>,
    /// [`Device::as_str`].
    pub device: Cow<'a, str>,
    /// Browser family.
    pub browser: Cow<'a, str>,
    /// Operating system family.
    pub os: Cow<'a, str>,
    /// Host of the referrer without `www.`.
    pub referrer: Cow<'a, str>,
    /// How the visit came: direct, search, social, email, referral, …
    pub medium: Cow<'a, str>,
    /// utm_source.
    pub utm_source: Cow<'a, str>,
    /// utm_medium.
    pub utm_medium: Cow<'a, str>,
    /// utm_campaign.
    pub utm_campaign: Cow<'a, str>,
    /// utm_term.
    pub utm_term: Cow<'a, str>,
    /// utm_content.
    pub utm_content: Cow<'a, str>,
    /// First language asked for (`de`).
    pub language: Cow<'a, str>,
    /// The gravest [`Signal`](crate::signal::Signal).
    pub signal: Cow<'a, str>,
}

/// How many texts [`Dims`] has.
pub const DIMS: usize = 18;

impl<'a> Dims<'a> {
    /// Every text in its order.
    pub fn texts(&self) -> [&str; DIMS] {
        [
            &self.domain,
            &self.variant,
            &self.country,
            &self.region,
            &self.city,
            &self.continent,
            &self.device,
            &self.browser,
            &self.os,
            &self.referrer,
            &self.medium,
            &self.utm_source,
            &self.utm_medium,
            &self.utm_campaign,
            &self.utm_term,
            &self.utm_content,
            &self.language,
            &self.signal,
        ]
    }

    pub(crate) fn from_texts(texts: [&'a str; DIMS]) -> Self {
        let [
            domain,
            variant,
            country,
            region,
            city,
            continent,
            device,
            browser,
            os,
            referrer,
            medium,
            utm_source,
            utm_medium,
            utm_campaign,
            utm_term,
            utm_content,
            language,
            signal,
        ] = texts.map(Cow::Borrowed);
        Self {
            domain,
            variant,
            country,
            region,
            city,
            continent,
            device,
            browser,
            os,
            referrer,
            medium,
            utm_source,
            utm_medium,
            utm_campaign,
            utm_term,
            utm_content,
            language,
            signal,
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Dims<'static> {
        let own = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Dims {
            domain: own(self.domain),
            variant: own(self.variant),
            country: own(self.country),
            region: own(self.region),
            city: own(self.city),
            continent: own(self.continent),
            device: own(self.device),
            browser: own(self.browser),
            os: own(self.os),
            referrer: own(self.referrer),
            medium: own(self.medium),
            utm_source: own(self.utm_source),
            utm_medium: own(self.utm_medium),
            utm_campaign: own(self.utm_campaign),
            utm_term: own(self.utm_term),
            utm_content: own(self.utm_content),
            language: own(self.language),
            signal: own(self.signal),
        }
    }
}
