//! Continents of countries (ISO 3166-1 alpha-2; United Nations M49, with Asia's side for countries on two).

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
    if country.len() != 2 {
        return "";
    }
    // Codes are two letters with a space between, so a match at a multiple of three is a whole code.
    let holds = |codes: &str| codes.as_bytes().chunks(3).any(|code| &code[..2] == country.as_bytes());
    BY_CONTINENT.iter().find(|(_, codes)| holds(codes)).map_or("", |(continent, _)| continent)
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
