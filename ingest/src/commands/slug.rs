//! Slugs: the path of a short link.

use rand::RngExt;
use weir_schemas::link::RESERVED_SLUGS;

/// Longest slug, in bytes.
pub const SLUG_MAX: usize = 64;
/// Characters of a slug that is drawn: 54^7 is 1.3·10^12.
pub const DRAWN_CHARS: usize = 7;
/// Slugs drawn besides the first; the books take the first that is free.
pub const SPARES: usize = 4;

/// Letters and digits without look-alikes (0 O o, 1 I i l).
const ALPHABET: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";

/// Checks a chosen slug; the sentence says what is wrong.
pub fn check(slug: &str) -> Result<(), String> {
    if slug.is_empty() || slug.len() > SLUG_MAX {
        return Err(format!("must have 1 to {SLUG_MAX} characters"));
    }
    if !slug.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err("may hold only letters, digits, `-`, `_` and `.`".to_owned());
    }
    // `.` and `..` are steps in a path, and dot files are where scanners look.
    if slug.starts_with('.') || slug.ends_with('.') {
        return Err("must not begin or end with `.`".to_owned());
    }
    if RESERVED_SLUGS.iter().any(|reserved| reserved.eq_ignore_ascii_case(slug)) {
        return Err(format!("`{slug}` is a path of the engine itself"));
    }
    Ok(())
}

/// Draws a slug and its spares.
pub fn draw() -> (String, Vec<String>) {
    let mut rng = rand::rng();
    let mut one = || loop {
        let slug: String =
            (0..DRAWN_CHARS).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
        if check(&slug).is_ok() {
            return slug;
        }
    };
    (one(), (0..SPARES).map(|_| one()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_checked() {
        for good in ["a", "Spring-2026_x", "v1.2", &"x".repeat(64)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in
            ["", "a b", "ñ", "a/b", ".", "..", ".well-known", "a.", "Healthz", "i", &"x".repeat(65), "a?b"]
        {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn drawn_slugs_have_no_look_alikes() {
        let (first, spares) = draw();
        assert_eq!(spares.len(), SPARES);
        for slug in spares.iter().chain([&first]) {
            assert_eq!(slug.len(), DRAWN_CHARS);
            assert!(!slug.contains(['0', 'O', 'o', '1', 'I', 'i', 'l']), "{slug}");
            assert_eq!(check(slug), Ok(()));
        }
    }
}
