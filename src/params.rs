//! The values of a statement's parameters.

use crate::value::Value;

/// The values of a statement's parameters: by position (`?`, `?1`) or by name (`:name`, `@name`, `$name`). Every parameter
/// of a statement must get a value, and every value must have a parameter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    pub(crate) positional: Vec<Value>,
    pub(crate) named: Vec<(String, Value)>,
}

impl Params {
    /// Values for `?1`, `?2`, … in this order.
    pub fn positional<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        Self { positional: values.into_iter().map(Into::into).collect(), named: Vec::new() }
    }

    /// Values by name, with or without the `:`, `@` or `$`.
    pub fn named<N: Into<String>, V: Into<Value>>(values: impl IntoIterator<Item = (N, V)>) -> Self {
        let named = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { positional: Vec::new(), named }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positional.is_empty() && self.named.is_empty()
    }
}

/// Parameters by position, of any types that are [`Into<Value>`](crate::Value).
///
/// ```
/// use skylinedb::{Params, Value, params};
///
/// let params = params![1, "Ada", 0.5, None::<i64>];
/// assert_eq!(params, Params::positional([Value::Integer(1), "Ada".into(), 0.5.into(), Value::Null]));
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        $crate::Params::positional::<$crate::Value>([$($crate::Value::from($value)),*])
    };
}

/// Parameters by name, of any types that are [`Into<Value>`](crate::Value).
///
/// ```
/// use skylinedb::{Params, Value, named_params};
///
/// let params = named_params! { "id": 1, "name": "Ada" };
/// assert_eq!(params, Params::named([("id", Value::Integer(1)), ("name", "Ada".into())]));
/// ```
#[macro_export]
macro_rules! named_params {
    ($($name:literal : $value:expr),* $(,)?) => {
        $crate::Params::named::<&str, $crate::Value>([$(($name, $crate::Value::from($value))),*])
    };
}
