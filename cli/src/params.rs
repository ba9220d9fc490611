//! The values of a statement's parameters, as they are written after `--param`.
//!
//! `VALUE` is for the next `?`, `NAME=VALUE` for `:NAME`. It is a name only if it looks like one, so that `text:a=b` and
//! `file:/tmp/a=b` are values.

use std::fs;

use skylinedb::Value;

/// One `--param`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    /// The name, without a `:`, `@` or `$` before it; `None` for the next `?`.
    pub(crate) name: Option<String>,
    pub(crate) value: Value,
}

/// Reads one `--param`.
pub(crate) fn parse(argument: &str) -> Result<Parameter, String> {
    let (name, value) = match argument.split_once('=') {
        Some((name, value)) if is_name(name) => (Some(name.trim_start_matches([':', '@', '$']).to_owned()), value),
        _ => (None, argument),
    };
    Ok(Parameter { name, value: parse_value(value)? })
}

fn parse_value(text: &str) -> Result<Value, String> {
    let typed = text.split_once(':').and_then(|(kind, rest)| typed_value(kind, rest));
    if let Some(value) = typed {
        return value;
    }
    if let Some(digits) = text.strip_prefix("x'").or(text.strip_prefix("X'")).and_then(|rest| rest.strip_suffix('\'')) {
        return bytes(digits).map(Value::Blob);
    }
    if text.eq_ignore_ascii_case("null") {
        return Ok(Value::Null);
    }
    if let Ok(integer) = text.parse() {
        return Ok(Value::Integer(integer));
    }
    match text.parse() {
        Ok(real) if looks_real(text) => Ok(Value::Real(real)),
        _ => Ok(Value::Text(text.to_owned())),
    }
}

/// The value after a prefix such as `int:`; `None` if `kind` is none of them.
fn typed_value(kind: &str, rest: &str) -> Option<Result<Value, String>> {
    let value = match kind {
        "int" => rest.parse().map(Value::Integer).map_err(|_| format!("{rest:?} is not a 64-bit integer")),
        "real" => match rest.parse::<f64>() {
            Ok(real) if !real.is_nan() => Ok(Value::Real(real)),
            _ => Err(format!("{rest:?} is not a number")),
        },
        "text" => Ok(Value::Text(rest.to_owned())),
        "blob" => bytes(rest).map(Value::Blob),
        "null" if rest.is_empty() => Ok(Value::Null),
        "file" => fs::read(rest).map(Value::Blob).map_err(|error| format!("cannot read {rest:?}: {error}")),
        _ => return None,
    };
    Some(value)
}

fn is_name(text: &str) -> bool {
    let name = text.strip_prefix([':', '@', '$']).unwrap_or(text);
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Whether this is a number with a point or an exponent. Rust's own parser takes `inf` and `nan`, too.
fn looks_real(text: &str) -> bool {
    text.contains(|character: char| character.is_ascii_digit())
        && text.contains(['.', 'e', 'E'])
        && text.chars().all(|character| matches!(character, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'))
}

fn bytes(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{digits:?} is not hexadecimal: two digits a byte, such as 0aff");
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_value_has_the_type_that_it_looks_like() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases = [
            ("5", Value::Integer(5)),
            ("-5", Value::Integer(-5)),
            ("9223372036854775807", Value::Integer(i64::MAX)),
            ("-9223372036854775808", Value::Integer(i64::MIN)),
            ("9223372036854775808", text("9223372036854775808")),
            ("1.0", Value::Real(1.0)),
            (".5", Value::Real(0.5)),
            ("1e3", Value::Real(1000.0)),
            ("-1.5E-3", Value::Real(-0.0015)),
            ("e", text("e")),
            (".", text(".")),
            ("1.2.3", text("1.2.3")),
            ("inf", text("inf")),
            ("nan", text("nan")),
            ("null", Value::Null),
            ("NULL", Value::Null),
            ("", text("")),
            ("Anna", text("Anna")),
            ("note: a", text("note: a")),
            ("x'0aFF'", Value::Blob(vec![10, 255])),
            ("x''", Value::Blob(vec![])),
            ("0aff", text("0aff")),
        ];
        for (argument, value) in cases {
            assert_eq!(parse(argument), Ok(Parameter { name: None, value }), "{argument}");
        }
    }

    #[test]
    fn a_prefix_says_the_type() {
        let cases = [
            ("int:05", Value::Integer(5)),
            ("real:1", Value::Real(1.0)),
            ("real:-Infinity", Value::Real(f64::NEG_INFINITY)),
            ("text:05", Value::Text("05".to_owned())),
            ("text:null", Value::Text("null".to_owned())),
            ("text:a=b", Value::Text("a=b".to_owned())),
            ("text:", Value::Text(String::new())),
            ("blob:00ff", Value::Blob(vec![0, 255])),
            ("blob:", Value::Blob(vec![])),
            ("null:", Value::Null),
        ];
        for (argument, value) in cases {
            assert_eq!(parse(argument), Ok(Parameter { name: None, value }), "{argument}");
        }
    }

    #[test]
    fn a_name_comes_before_the_first_equals_sign() {
        let cases = [
            ("a=5", "a", Value::Integer(5)),
            (":a=5", "a", Value::Integer(5)),
            ("@a=x=y", "a", Value::Text("x=y".to_owned())),
            ("$_a1=text:05", "_a1", Value::Text("05".to_owned())),
            ("a=", "a", Value::Text(String::new())),
        ];
        for (argument, name, value) in cases {
            assert_eq!(parse(argument), Ok(Parameter { name: Some(name.to_owned()), value }), "{argument}");
        }
        for argument in ["1=2", "a b=c", "=c", "é=c"] {
            let value = Value::Text(argument.to_owned());
            assert_eq!(parse(argument), Ok(Parameter { name: None, value }), "{argument}");
        }
    }

    #[test]
    fn what_is_not_of_its_prefix_is_refused() {
        let wrong = [
            "int:1.5",
            "int:9223372036854775808",
            "real:x",
            "real:nan",
            "blob:0",
            "blob:0g",
            "x'é'",
            "file:/not/there",
        ];
        for argument in wrong {
            assert!(parse(argument).is_err(), "{argument}");
        }
    }
}
