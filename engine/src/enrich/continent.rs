//! Continents of countries (ISO 3166-1 alpha-2; United Nations M49, with Asia's side for countries on two).

use std::sync::LazyLock;

const BY_CONTINENT: &[(&str, &str)] = &[
    (
        "AF",
        "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW IO KE KM LR LS LY MA MG ML MR MU MW MZ NA NE \
         NG RE RW SC SD SH SL SN SO SS ST SZ TD TF TG TN TZ UG YT ZA ZM ZW",
    ),
    ("AN", "AQ BV GS HM"),
    (
        "AS",
        "AE AF AM AZ BD BH BN BT CC CN CX CY GE HK ID IL IN IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH \
         PK PS QA SA SG SY TH TJ TL TM TR TW UZ VN YE",
    ),
    (
        "EU",
        "AD AL AT AX BA BE BG BY CH CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK MT NL \
         NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    ),
    (
        "NA",
        "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC TT US \
         VC VG VI",
    ),
    ("OC", "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS"),
    ("SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
];

/// The continent's two letters; empty where the country is unknown.
pub(crate) fn of(country: &str) -> &'static str {
    <[u8; 2]>::try_from(country.as_bytes()).ok().and_then(place).map_or("", |at| BY_COUNTRY[at])
}

/// The continent at the [`place`] of each country: every visit asks.
static BY_COUNTRY: LazyLock<[&'static str; LETTERS * LETTERS]> = LazyLock::new(|| {
    let mut continents = [""; LETTERS * LETTERS];
    for (continent, codes) in BY_CONTINENT {
        for code in codes.split(' ') {
            let at =
                <[u8; 2]>::try_from(code.as_bytes()).ok().and_then(place).expect("a code has two letters");
            continents[at] = continent;
        }
    }
    continents
});

const LETTERS: usize = 26;

fn place(code: [u8; 2]) -> Option<usize> {
    let [first, second] = code.map(|letter| usize::from(letter.wrapping_sub(b'A')));
    (first < LETTERS && second < LETTERS).then_some(first * LETTERS + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once() {
        let all: Vec<&str> =
            BY_CONTINENT.iter().flat_map(|(_, codes)| codes.split_ascii_whitespace()).collect();
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), unique.len());
        assert_eq!(all.len(), 250);
        assert!(all.iter().all(|code| !of(code).is_empty()));
        assert_eq!(
            (of("DE"), of("US"), of("BR"), of("JP"), of("XX"), of("")),
            ("EU", "NA", "SA", "AS", "", "")
        );
    }
}
