use super::*;

fn condition(text: &str) -> Result<Condition, String> {
    compile(&serde_json::from_str(text).unwrap())
}

#[test]
fn values_have_the_type_of_their_field() {
    assert!(condition(r#"["is","country",[7]]"#).unwrap_err().contains("strings"));
    assert!(condition(r#"["is","asn",["x"]]"#).unwrap_err().contains("whole numbers"));
    assert!(condition(r#"["is","bot",["yes"]]"#).unwrap_err().contains("true or false"));
    assert!(condition(r#"["is","link",["ptn_04hq2m8x7k9ab"]]"#).unwrap_err().contains("lnk_"));
    assert!(condition(r#"["contains","link",["a"]]"#).unwrap_err().contains("`contains`"));
    assert!(condition(r#"["gt","country",["a"]]"#).unwrap_err().contains("`gt`"));
    assert!(condition(r#"["gt","property:plan",["a"]]"#).unwrap_err().contains("`gt`"));
    assert_eq!(
        condition(r#"["lt","property:price",[19.99]]"#),
        Ok(Condition::PropertyLess("price".to_owned(), 19_990_000))
    );
    assert_eq!(
        condition(r#"["is","property:seats",[7, "a"]]"#),
        Ok(Condition::PropertyIn("seats".to_owned(), vec!["7".to_owned(), "a".to_owned()]))
    );
    assert!(condition(r#"["or",[["gt","clicks",[1]]]]"#).unwrap_err().contains("metric"));
}

#[test]
fn the_normal_form_does_not_depend_on_the_order_of_values() {
    assert_eq!(
        condition(r#"["is","country",["DE","AT","DE"]]"#),
        condition(r#"["is","country",["AT","DE"]]"#)
    );
    assert_eq!(condition(r#"["is","currency",["eur"]]"#), condition(r#"["is","currency",["EUR"]]"#));
}

#[test]
fn a_field_that_a_fact_does_not_have_restricts_nothing() {
    let all = condition(r#"["and",[["is","country",["DE"]],["not",["is","event",["sale"]]]]]"#).unwrap();
    let for_clicks = all.of_clicks().unwrap();
    assert_eq!(for_clicks, condition(r#"["and",[["is","country",["DE"]]]]"#).unwrap());
    let only = condition(r#"["or",[["is","event",["sale"]]]]"#).unwrap();
    assert_eq!(only.of_clicks(), None);
    assert_eq!(condition(r#"["is","property:plan",["a"]]"#).unwrap().of_clicks(), None);
}

#[test]
fn parts_are_found_in_any_case() {
    assert!(contains_in_any_case("Mozilla", "zIL") && contains_in_any_case("x", ""));
    assert!(!contains_in_any_case("ab", "abc") && !contains_in_any_case("Äb", "äb"));
    assert!(!condition(r#"["contains","city",["ü"]]"#).unwrap().is_evaluable());
    assert!(condition(r#"["contains","city",["u"]]"#).unwrap().is_evaluable());
}
