//! A reader around serde's that takes a struct from an object and nothing else, however deep it stands. Derived
//! readers also take a list for a struct's members in the order of the source code, and `{"paid": null}` for the word
//! `paid`: no caller means that, and `"amount": [4999, "EUR"]` would be money by accident.
//!
//! What serde buffers (`untagged`, `tag`, `flatten`) it reads by its own rules: bodies have none with a struct inside.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

/// Reads as `D` does, structs from objects only and words from texts only.
pub(super) struct Shaped<D>(pub(super) D);

macro_rules! forward {
    ($($method:ident($($name:ident: $kind:ty),*))+) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Inside(visitor))
        })+
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Shaped<D> {
    type Error = D::Error;

    forward! {
        deserialize_any() deserialize_bool()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_char() deserialize_str() deserialize_string()
        deserialize_bytes() deserialize_byte_buf() deserialize_option() deserialize_unit()
        deserialize_unit_struct(name: &'static str) deserialize_newtype_struct(name: &'static str)
        deserialize_seq() deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_map() deserialize_identifier() deserialize_ignored_any()
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Members(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Choice { visitor, variants })
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// A visitor whose nested values are read as [`Shaped`] ones.
struct Inside<V>(V);

macro_rules! visit {
    ($($method:ident($kind:ty))+) => {
        $(fn $method<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            self.0.$method(value)
        })+
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Inside<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool)
        visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128)
        visit_f32(f32) visit_f64(f64) visit_char(char)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Shaped(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Shaped(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Parts(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Parts(object))
    }
}

/// A struct's visitor that is shown objects only.
struct Members<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Members<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Parts(object))
    }
}

/// Lists and objects whose values are read as [`Shaped`] ones.
struct Parts<A>(A);

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Parts<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Seed(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Parts<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(Seed(seed))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Seed(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

struct Seed<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Shaped(deserializer))
    }
}

/// An enum's visitor: a text is a word alone, an object has one member, the word and what belongs to it.
struct Choice<V> {
    visitor: V,
    variants: &'static [&'static str],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Choice<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, variant) in self.variants.iter().enumerate() {
            write!(f, "{}`{variant}`", if n == 0 { "one of " } else { ", " })?;
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<V::Value, E> {
        let word: StrDeserializer<'_, E> = word.into_deserializer();
        self.visitor.visit_enum(word)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(OneMember(object))
    }
}

/// An object of one member, the variant's word.
struct OneMember<A>(A);

impl<'de, A: MapAccess<'de>> EnumAccess<'de> for OneMember<A> {
    type Error = A::Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<(T::Value, Self), A::Error> {
        match self.0.next_key_seed(seed)? {
            Some(word) => Ok((word, self)),
            None => Err(Error::invalid_value(Unexpected::Map, &"an object with one member")),
        }
    }
}

impl<A> OneMember<A> {
    fn value<'de, T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value, A::Error>
    where
        A: MapAccess<'de>,
    {
        let value = self.0.next_value_seed(seed)?;
        match self.0.next_key::<IgnoredAny>()? {
            None => Ok(value),
            Some(_) => Err(Error::invalid_value(Unexpected::Map, &"an object with one member")),
        }
    }
}

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for OneMember<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        Err(Error::invalid_type(Unexpected::Map, &"a string"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.value(Seed(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.value(List { length, visitor })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.value(Object { fields, visitor })
    }
}

/// What belongs to a variant with several values.
struct List<V> {
    length: usize,
    visitor: V,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for List<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        Shaped(deserializer).deserialize_tuple(self.length, self.visitor)
    }
}

/// What belongs to a variant with members.
struct Object<V> {
    fields: &'static [&'static str],
    visitor: V,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Object<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        Shaped(deserializer).deserialize_struct("", self.fields, self.visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use super::super::from_value;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        id: String,
        paid: Money,
        #[serde(default)]
        lines: Vec<Line>,
        #[serde(default)]
        again: Option<Box<Order>>,
        #[serde(default)]
        state: State,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Money {
        amount: i64,
        currency: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Line(u32, Money);

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum State {
        #[default]
        Open,
        Closed {
            by: Money,
        },
        Split(Money),
        Moved(u32, Money),
    }

    fn refused(value: Value) -> (String, String) {
        let problem = from_value::<Order>(value.clone()).expect_err(&value.to_string());
        assert_eq!(problem.status, 422);
        (problem.errors[0].field.clone(), problem.errors[0].detail.clone())
    }

    #[test]
    fn a_word_is_a_text_and_what_has_members_an_object() {
        let with =
            |state: Value| json!({"id": "a", "paid": {"amount": 1, "currency": "EUR"}, "state": state});
        let euro = json!({"amount": 1, "currency": "EUR"});
        for (good, read) in [
            (json!("open"), State::Open),
            (json!({"split": euro}), State::Split(Money { amount: 1, currency: "EUR".into() })),
        ] {
            assert_eq!(from_value::<Order>(with(good)).unwrap().state, read);
        }
        for bad in [
            json!({"open": null}),
            json!({}),
            json!({"split": euro, "open": null}),
            json!("split"),
            json!("shut"),
            json!(["open"]),
            json!({"closed": [euro]}),
            json!({"closed": {"by": [1, "EUR"]}}),
            json!({"split": [1, "EUR"]}),
            json!({"moved": [1, [1, "EUR"]]}),
        ] {
            assert!(refused(with(bad)).0.starts_with("state"));
        }
    }

    /// What stands at `place`, replaced by its members' values in their order.
    fn listed(value: &mut Value, place: &[&str]) {
        let target = place.iter().fold(value, |at, name| match name.parse::<usize>() {
            Ok(n) => &mut at[n],
            Err(_) => &mut at[*name],
        });
        // In the order of the source code, as a derived reader would take them.
        let order = ["id", "paid", "lines", "again", "state", "amount", "currency"];
        *target = order.iter().filter_map(|name| target.get(*name).cloned()).collect();
    }

    fn money() -> impl Strategy<Value = Value> {
        (any::<i64>(), "[A-Z]{3}").prop_map(|(amount, code)| json!({"amount": amount, "currency": code}))
    }

    fn order() -> impl Strategy<Value = Value> {
        let lines =
            proptest::collection::vec((any::<u32>(), money()).prop_map(|(n, of)| json!([n, of])), 1..3);
        let leaf = ("[a-z]{1,4}", money(), lines, money()).prop_map(|(id, paid, lines, by)| {
            json!({"id": id, "paid": paid, "lines": lines, "again": null, "state": {"closed": {"by": by}}})
        });
        leaf.prop_recursive(3, 8, 1, |inner| {
            (inner.clone(), inner).prop_map(|(mut outer, inner)| {
                outer["again"] = inner;
                outer
            })
        })
    }

    proptest! {
        #[test]
        fn a_list_is_refused_wherever_an_object_belongs(order in order(), again in 0_usize..3, which in 0_usize..4) {
            let read: Order = from_value(order.clone()).expect("a good one");
            prop_assert_eq!(serde_json::to_value(&read).unwrap(), order.clone());
            let mut place = vec!["again"; again];
            prop_assume!(place.iter().try_fold(&order, |at, name| at.get(*name).filter(|v| v.is_object())).is_some());
            let inside: &[&str] = [&[][..], &["paid"], &["lines", "0", "1"], &["state", "closed"]][which];
            place.extend(inside);
            let mut wrong = order;
            listed(&mut wrong, &place);
            let (field, detail) = refused(wrong);
            let path = place.join(".").replace(".0.1", "[0][1]");
            prop_assert_eq!(field, if path.is_empty() { "body" } else { &path });
            prop_assert_eq!(detail, "invalid type: sequence, expected an object");
        }
    }
}
