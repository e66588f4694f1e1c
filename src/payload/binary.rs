//! Payloads in binary.

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, IgnoredAny};

use super::fault::Fault;
use super::reader::{Content, Reader};
use super::stored::Stored;
use super::writer::{first, to_bytes};

pub(super) use super::writer::to_bytes as encode;

#[inline]
pub(super) fn decode<'de, T: Deserialize<'de>>(payload: &'de [u8]) -> Result<T, Fault> {
    let mut reader = Reader::new(payload);
    let value = T::deserialize(&mut reader);
    if value.is_ok() {
        reader.end()?;
    }
    value
}

/// Makes sure that these bytes are one value.
pub(crate) fn check(payload: &[u8]) -> Result<(), Fault> {
    decode::<IgnoredAny>(payload).map(|_| ())
}

/// The name of an event's variant, and its content.
pub(super) fn encode_variant<E: Serialize>(event: &E) -> Result<(String, Vec<u8>), Fault> {
    let mut bytes = to_bytes(event)?;
    let mut reader = Reader::new(&bytes);
    let Ok((name, has_content)) = reader.variant() else {
        return Err(Fault::NotAVariant("something else"));
    };
    if !has_content {
        return Ok((name.to_owned(), vec![first::NIL]));
    }
    let (name, content) = (name.to_owned(), bytes.len() - reader.left());
    bytes.drain(..content);
    Ok((name, bytes))
}

/// Reads the variant of this name from its content.
#[inline]
pub(super) fn decode_variant<E: DeserializeOwned>(name: &str, payload: &[u8]) -> Result<E, Fault> {
    let mut content = Reader::new(payload);
    let event = E::deserialize(Stored { name, content: Content(Some(&mut content)) });
    if event.is_ok() {
        content.end()?;
    }
    event
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use super::*;
    use crate::bytes::Fields;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[track_caller]
    fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
        let bytes = encode(&value).unwrap();
        assert_eq!(decode::<T>(&bytes).unwrap(), value);
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 500) {
            assert!(decode::<T>(&bytes[..length]).is_err(), "{length} of {bytes:?}");
        }
        let longer = [&bytes[..], &[0xC0]].concat();
        assert!(decode::<T>(&longer).unwrap_err().to_string().contains("behind it"));
    }

    #[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
    enum Kind {
        Unit,
        Newtype(u8),
        Tuple(i64, String),
        Struct { a: Option<u8>, b: Box<Kind> },
    }

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Wide {
        numbers: (u8, i8, u16, i16, u32, i32, u64, i64),
        kinds: Vec<Kind>,
        names: BTreeMap<i32, char>,
        nothing: (),
        texts: [String; 3],
        maybe: Option<Vec<bool>>,
    }

    #[test]
    fn everything_that_serde_knows_survives() {
        let text = |length| "é".repeat(length);
        for numbers in [
            (0, 0, 0, 0, 0, 0, 0, 0),
            (1, -1, 127, -32, 128, -33, 255, -128),
            (255, -128, 256, -129, 65_535, -32_768, 65_536, -32_769),
            (9, 9, 9, 9, u32::MAX, i32::MIN, u64::from(u32::MAX) + 1, i64::from(i32::MIN) - 1),
            (u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN, u64::MAX, i64::MIN),
            (u8::MAX, i8::MAX, u16::MAX, i16::MAX, u32::MAX, i32::MAX, u64::MAX, i64::MAX),
        ] {
            let inner = Kind::Struct { a: Some(7), b: Box::new(Kind::Tuple(-1, text(1))) };
            let kinds = vec![Kind::Unit, Kind::Newtype(1), inner.clone()];
            let names = [(-1, 'a'), (i32::MAX, '€')].into();
            let texts = [text(0), text(16), text(200)];
            survives(Wide { numbers, kinds, names, nothing: (), texts, maybe: Some(vec![true]) });
        }
        for number in [0, 1, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX] {
            survives(number);
        }
        for number in [i128::MIN, i128::from(i64::MIN) - 1, i128::from(i64::MIN), -1, i128::MAX] {
            survives(number);
        }
        for number in [0.1, -0.0, f64::MAX, f64::INFINITY] {
            survives(number);
        }
        assert!(decode::<f32>(&encode(&f32::NAN).unwrap()).unwrap().is_nan());
        for length in [15, 16, 255, 256, 70_000] {
            survives(vec![1; length]);
            survives("x".repeat(length));
            survives((0..length).map(|key| (key, ())).collect::<BTreeMap<_, _>>());
        }
    }

    #[test]
    fn a_payload_is_laid_out_as_documented() {
        #[derive(Serialize)]
        struct Point {
            x: i32,
            latitude_degrees: u16,
        }
        let bytes = encode(&Point { x: -1, latitude_degrees: 300 }).unwrap();
        // The check worked out apart from this code, after the description in `docs::format`.
        assert_eq!(
            hex(&bytes),
            "93d501CHECKffcd012c".replace("CHECK", &check(&["x", "latitude_degrees"]))
        );
        assert_eq!(hex(&encode(&Some(("a", 1.5f32, true))).unwrap()), "93a161ca3fc00000c3");
        let (name, content) = encode_variant(&Kind::Newtype(200)).unwrap();
        assert_eq!((&*name, &*hex(&content)), ("Newtype", "ccc8"));
        let (name, content) = encode_variant(&Kind::Unit).unwrap();
        assert_eq!((&*name, &*hex(&content)), ("Unit", "c0"));
        assert!(encode_variant(&7).unwrap_err().to_string().contains("not as a variant"));
    }

    #[test]
    fn a_struct_is_read_with_its_fields_or_with_more_behind_them() {
        #[derive(Serialize)]
        struct Written {
            first: String,
            second: String,
        }
        macro_rules! read {
            ($($(#[$attribute:meta])* $field:ident: $type:ty),*) => {{
                #[derive(Debug, serde::Deserialize)]
                #[expect(dead_code, reason = "it is shown")]
                struct Read { $($(#[$attribute])* $field: $type),* }
                let bytes = encode(&Written { first: "1".into(), second: "2".into() }).unwrap();
                decode::<Read>(&bytes).map(|read| format!("{read:?}")).map_err(|e| e.to_string())
            }};
        }
        let same = read!(first: String, second: String).unwrap();
        assert_eq!(same, r#"Read { first: "1", second: "2" }"#);
        let more = read!(first: String, second: String, #[serde(default)] third: u8).unwrap();
        assert_eq!(more, r#"Read { first: "1", second: "2", third: 0 }"#);
        let without_default = read!(first: String, second: String, third: u8).unwrap_err();
        assert!(without_default.contains("length 2"), "{without_default}");
        for refused in [
            read!(second: String, first: String),
            read!(first: String, other: String),
            read!(first: String),
            read!(zeroth: Option<String>, first: String, second: String),
            read!(#[serde(alias = "erste")] first: String, second: String),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.starts_with("its 2 fields are not the first of "), "{refused}");
        }
        // What is no struct is not read as one.
        let tuple = encode(&("1", "2")).unwrap();
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "it is not read")]
        struct Pair {
            first: String,
            second: String,
        }
        assert!(decode::<Pair>(&tuple).unwrap_err().to_string().contains("no struct"));
    }

    #[test]
    fn types_that_look_before_they_read_survive() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        #[serde(untagged)]
        enum Untagged {
            Number(i64),
            Point(i8, i8),
        }
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            Circle { radius: u32 },
        }
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Flat {
            id: u8,
            #[serde(flatten)]
            rest: BTreeMap<String, String>,
        }
        survives(vec![Untagged::Number(-7), Untagged::Point(1, -1)]);
        survives(Tagged::Circle { radius: 300 });
        survives(Flat { id: 1, rest: [("a".to_owned(), "b".to_owned())].into() });
        let value: serde_json::Value =
            decode(&encode(&vec![Untagged::Point(1, -1)]).unwrap()).unwrap();
        assert_eq!(value, serde_json::json!([[1, -1]]));
    }

    #[test]
    fn whatever_the_bytes_are_reading_them_ends() {
        let deep = [vec![0x91; 100_000], vec![0xC0]].concat();
        assert!(decode::<serde_json::Value>(&deep).unwrap_err().to_string().contains("too deep"));
        let value = Kind::Struct { a: None, b: Box::new(Kind::Tuple(5, "five".into())) };
        let good = encode(&vec![value.clone(), value]).unwrap();
        let mut changed = 0;
        for at in 0..good.len() {
            for byte in 0..=255 {
                let mut bytes = good.clone();
                bytes[at] = byte;
                let read = decode::<Vec<Kind>>(&bytes);
                changed += u32::from(read.is_ok_and(|read| encode(&read).unwrap() != good));
                let _ = decode::<serde_json::Value>(&bytes);
            }
        }
        // Only other numbers, letters and names of variants are other values.
        assert!(changed > 0);
        let huge = [0xDD, 0xFF, 0xFF, 0xFF, 0xFF];
        assert!(decode::<Vec<u64>>(&huge).is_err());
        assert!(decode::<serde_json::Value>(&huge).is_err());
    }

    /// The check of these names, after its description.
    fn check(names: &[&str]) -> String {
        let mut check = 0_u64;
        for name in names {
            check = check.wrapping_add(name.len() as u64);
            let mut left = Fields(name.as_bytes());
            while let Some(piece) = left.array::<8>().map(u64::from_le_bytes).or_else(|| {
                let rest = left.bytes(left.0.len()).filter(|rest| !rest.is_empty())?;
                Some(if rest.len() < 4 {
                    rest.iter().fold(0, |number, byte| number * 256 + u64::from(*byte))
                } else {
                    let four = |at: usize| u64::from(Fields(&rest[at..]).u32().unwrap());
                    four(0) + (four(rest.len() - 4) << 32)
                })
            }) {
                check = (check ^ piece).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                check ^= check >> 32;
            }
        }
        hex(&check.to_le_bytes()[..2])
    }
}
