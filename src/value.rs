//! SQLite's values, and how ordinary Rust values become one and come back.

use crate::{error::Error, proto::v1 as proto};

/// A value as SQLite stores it. Every bit is kept on the way to the database and back, with one exception that is SQLite's
/// own: a NaN that is stored becomes NULL.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// NULL.
    #[default]
    Null,
    /// INTEGER: 64 bits, signed.
    Integer(i64),
    /// REAL: IEEE 754, 64 bits.
    Real(f64),
    /// TEXT, NUL characters included. Text in the database that is not UTF-8 comes as [`Value::Blob`].
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

impl Value {
    /// What SQLite's `typeof()` calls it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "integer",
            Self::Real(_) => "real",
            Self::Text(_) => "text",
            Self::Blob(_) => "blob",
        }
    }

    pub(crate) fn into_proto(self) -> proto::Value {
        use proto::value::Kind;
        let kind = match self {
            Self::Null => None,
            Self::Integer(integer) => Some(Kind::Integer(integer)),
            Self::Real(real) => Some(Kind::Real(real)),
            Self::Text(text) => Some(Kind::Text(text)),
            Self::Blob(blob) => Some(Kind::Blob(blob)),
        };
        proto::Value { kind }
    }

    pub(crate) fn from_proto(value: proto::Value) -> Self {
        use proto::value::Kind;
        match value.kind {
            None => Self::Null,
            Some(Kind::Integer(integer)) => Self::Integer(integer),
            Some(Kind::Real(real)) => Self::Real(real),
            Some(Kind::Text(text)) => Self::Text(text),
            Some(Kind::Blob(blob)) => Self::Blob(blob),
        }
    }
}

macro_rules! into_value {
    ($($from:ty => $variant:ident: $into:expr;)*) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                let into: fn($from) -> _ = $into;
                Self::$variant(into(value))
            }
        })*
    };
}

into_value! {
    i8 => Integer: i64::from;
    i16 => Integer: i64::from;
    i32 => Integer: i64::from;
    i64 => Integer: std::convert::identity;
    u8 => Integer: i64::from;
    u16 => Integer: i64::from;
    u32 => Integer: i64::from;
    bool => Integer: i64::from;
    f32 => Real: f64::from;
    f64 => Real: std::convert::identity;
    String => Text: std::convert::identity;
    &str => Text: str::to_owned;
    &String => Text: String::clone;
    Vec<u8> => Blob: std::convert::identity;
    &[u8] => Blob: <[u8]>::to_vec;
    &Vec<u8> => Blob: Vec::clone;
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

macro_rules! try_into_value {
    ($($from:ty),*) => {
        $(impl TryFrom<$from> for Value {
            type Error = Error;

            /// SQLite's integers are signed: what is larger than [`i64::MAX`] is an [`Error::Conversion`].
            fn try_from(value: $from) -> Result<Self, Error> {
                i64::try_from(value).map(Self::Integer).map_err(|_| {
                    Error::Conversion(format!("{value} does not fit into an INTEGER, which is at most {}", i64::MAX))
                })
            }
        })*
    };
}

try_into_value!(u64, usize);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// An ordinary type that a value can be read as. Nothing is converted silently: an integer that does not fit, a text where
/// a number is wanted, a NULL where there is no `Option`, are errors.
pub trait FromValue: Sized {
    /// Reads the value.
    fn from_value(value: Value) -> Result<Self, Error>;
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Error> {
        Ok(value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, Error> {
        if value == Value::Null { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {
        $(impl FromValue for $integer {
            fn from_value(value: Value) -> Result<Self, Error> {
                match value {
                    Value::Integer(integer) => integer.try_into().map_err(|_| {
                        Error::Conversion(format!("the integer {integer} does not fit into {}", stringify!($integer)))
                    }),
                    other => Err(mismatch(&other, stringify!($integer))),
                }
            }
        })*
    };
}

from_integer!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Integer(integer) => Ok(integer != 0),
            other => Err(mismatch(&other, "bool")),
        }
    }
}

impl FromValue for f64 {
    /// An integer is read, too, if it is one of the 2⁵³ that a real can be exactly: SQLite stores 5.0 as 5 where it can.
    fn from_value(value: Value) -> Result<Self, Error> {
        const EXACT: i64 = 1 << 53;
        match value {
            Value::Real(real) => Ok(real),
            #[allow(clippy::cast_precision_loss, reason = "exact in this range")]
            Value::Integer(integer) if (-EXACT..=EXACT).contains(&integer) => Ok(integer as f64),
            other => Err(mismatch(&other, "f64")),
        }
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Text(text) => Ok(text),
            other => Err(mismatch(&other, "String")),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Blob(blob) => Ok(blob),
            other => Err(mismatch(&other, "Vec<u8>")),
        }
    }
}

fn mismatch(value: &Value, wanted: &str) -> Error {
    Error::Conversion(match value {
        Value::Null => format!("the value is NULL; read it as Option<{wanted}>"),
        other => format!("the value is of type {}, not {wanted}", other.type_name()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_read_and_what_does_not_fit_is_an_error() {
        assert_eq!(u8::from_value(255_i64.into()).expect("fits"), 255);
        assert!(u8::from_value(256_i64.into()).is_err());
        assert!(u64::from_value((-1_i64).into()).is_err());
        assert!((f64::from_value(5_i64.into()).expect("exact") - 5.0).abs() < f64::EPSILON);
        assert!(f64::from_value(((1_i64 << 53) + 1).into()).is_err());
        assert!(i64::from_value("5".into()).is_err());
        assert_eq!(Option::<i64>::from_value(Value::Null).expect("NULL"), None);
        let error = i64::from_value(Value::Null).expect_err("NULL").to_string();
        assert!(error.contains("Option<i64>"), "{error}");
    }

    #[test]
    fn an_unsigned_integer_is_a_value_if_it_fits() {
        assert_eq!(Value::try_from(5_u64).expect("fits"), Value::Integer(5));
        let error = Value::try_from(u64::MAX).expect_err("too large").to_string();
        assert!(error.contains("18446744073709551615"), "{error}");
    }

    #[test]
    fn a_value_survives_the_protocol() {
        let reals = [f64::INFINITY, -0.0, 1e-310].map(Value::Real);
        for value in [Value::Null, i64::MIN.into(), "a\0b".into(), vec![0_u8, 255].into()].into_iter().chain(reals) {
            assert_eq!(Value::from_proto(value.clone().into_proto()), value);
        }
    }
}
